"""The page of published numbers is what the data give."""

import subprocess
import sys
from pathlib import Path

from sm3kit.published.tables import load

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date():
    command = [sys.executable, str(ROOT / "docs" / "generate_published.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_every_finding_is_on_the_page():
    text = (ROOT / "docs" / "published.md").read_text(encoding="utf-8")
    for table in load().tables.values():
        for row in table.rows.values():
            for _, _, cell in row.faults():
                assert cell.mark() in text
                assert cell.finding in text
            assert row.note in text
