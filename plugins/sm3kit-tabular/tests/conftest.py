"""What the tests share: the command, and data in the layouts of the real ones."""

import csv
import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def sm3kit(sm3kit_command):
    """Runs `sm3kit ...` as a user does, which has to succeed; gives what it wrote."""

    def run(*words):
        done = sm3kit_command(*words)
        assert done.exit_code == 0, done.output
        return done.output

    return run


@pytest.fixture
def drawn(tmp_path, sm3kit):
    """Draws studies in a layout; gives their folder."""

    def draw(layout, pairs=40):
        folder = tmp_path / layout
        sm3kit("data", "synth", "--layout", layout, "--out", folder, "--pairs", pairs, "--size", 32)
        return folder

    return draw


@pytest.fixture
def edited():
    """Changes the rows of a table: edited(path, change), `change(number, row)` in place."""

    def edit(path: Path, change):
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows):
            change(number, row)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return rows

    return edit
