"""Whatever the page of differences says is held by a test: rows, options, recipes, numbers.

Every row of a table has a check that quotes what the row says of sm3kit, and every sentence of the
text with a number or an option in it belongs to a check, too. Where the page changes, its check
asks to be looked at again.
"""

import importlib
import re
import sys
from pathlib import Path

from differences_page import CHECKS, PROSE, QUOTED, ROWS, SAID, ours

# All other files of checks, whichever of them are run: each marks its own while it is imported.
HERE = Path(__file__)
SECTIONS = [
    importlib.import_module(file.stem)
    for file in sorted(HERE.parent.glob("test_*.py"))
    if file != HERE
]


def test_every_row_has_a_check_and_every_check_a_row():
    assert set(CHECKS) == set(ROWS)
    for check in CHECKS.values():
        module = sys.modules[check.__module__]
        assert module in SECTIONS, f"pytest does not collect {check.__module__}"
        kept = getattr(module, check.__name__)
        assert kept is check, f"{check.__name__} is replaced by another"
        assert check.__name__.startswith("test_"), f"pytest does not run {check.__name__}"


def test_a_row_says_what_its_check_holds():
    assert {key: ours(row) for key, row in ROWS.items()} == {key: SAID.get(key) for key in ROWS}


def test_every_sentence_with_a_number_or_an_option_is_quoted_once():
    for section, part in QUOTED:
        assert PROSE[section].count(part) == 1, f"{part!r} in {section!r}"
    for section, text in PROSE.items():
        for one in re.split(r"(?<=[.:])\s+(?=[A-Z*`])", text):
            held = any(part in one for where, part in QUOTED if where == section)
            assert held or not re.search(r"[\d`]", one), f"no check of {one!r}"
