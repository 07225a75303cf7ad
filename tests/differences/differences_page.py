"""The page of differences, read; and the marks of the checks that hold its rows and sentences."""

import re
import shlex
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
STAGE_1 = "Stage 1: where paper and code disagree"
STAGE_2 = "Stage 2: where paper and code disagree"
EVALUATION = "Evaluation"
BOTH = "Where sm3kit differs from both"
ALIKE = "What is the same as in the code"
PRINTED = "Printed numbers to be careful with"
OURS = ("default", "sm3kit", "mean of the row")  # The column that a row speaks of sm3kit in.


def read_page(text):
    """{(section, first cell): {column: cell}} of all tables, and {section: the rest as one line}."""
    tables, prose = {}, {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE):
        title, _, body = part.partition("\n")
        title = "" if title.startswith("# ") else title
        lines = body.splitlines()
        prose[title] = " ".join(" ".join(one for one in lines if one[:1] != "|").split())
        cells = [[c.strip() for c in one.split("|")[1:-1]] for one in lines if one[:1] == "|"]
        if not cells:
            continue
        columns = ["default" if one.startswith("default") else one for one in cells[0]]
        for line in cells[2:]:
            assert (title, line[0]) not in tables, f"two rows {line[0]!r} in {title!r}"
            tables[title, line[0]] = dict(zip(columns, line, strict=True))
    return tables, prose


ROWS, PROSE = read_page(PAGE.read_text(encoding="utf-8"))
CHECKS, SAID = {}, {}  # {(section, first cell): function}, {(section, first cell): what it holds}
QUOTED = []  # (section, part of a sentence)


def row(section, what, says):
    """Marks the check of a row, with what the row says of sm3kit."""

    def keep(check):
        assert (section, what) not in CHECKS, f"two checks of {what!r}"
        CHECKS[section, what], SAID[section, what] = check, says
        return check

    return keep


def sentence(section, *parts):
    """Marks the check of sentences, by parts of them."""

    def keep(check):
        QUOTED.extend((section, part) for part in parts)
        return check

    return keep


# What the page tells of others alone, or of where to read on.
QUOTED += [
    (STAGE_1, "The code splits the batch of 96 over two GPUs"),
    (EVALUATION, "Table 5 reports both in one column"),
    (PRINTED, "list these and further errors"),
]


def ours(cells):
    """What a row says of sm3kit."""
    (found,) = (cells[column] for column in OURS if column in cells)
    return found


def commands(text):
    """The words of every piece of code that is for the command line."""
    return [shlex.split(code) for code in re.findall(r"`([^`]+)`", text) if code.startswith("-")]


IN_RECIPES = re.compile(r"(?:so|off|used|itself) in (`[\w-]+`(?: and `[\w-]+`)*)")


def named_recipes(text):
    """The recipes that a row says have its settings."""
    return [name for found in IN_RECIPES.findall(text) for name in re.findall(r"`([\w-]+)`", found)]
