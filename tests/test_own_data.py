"""A new user with the README alone: from a CSV file of three modalities to a report."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from sm3kit.pytest_plugin import Command
from sm3kit.synthesis import layouts

README = Path(__file__).parents[1] / "README.md"
MODALITIES = ("derm", "clinic", "infrared")


def own_studies(folder: Path) -> None:
    """A manifest of 40 drawn lesions with a third kind of image, which every fifth lacks."""
    layouts.write("manifest", folder, pairs=40, size=64, missing=0.1)
    table = folder / "manifest.csv"
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for place, row in enumerate(rows):
        row["infrared"] = "" if place % 5 == 0 else row["derm"].replace("derm", "infrared")
        if row["infrared"]:
            with Image.open(folder / row["derm"]) as image:
                ImageOps.invert(image.convert("L")).convert("RGB").save(folder / row["infrared"])
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.slow
def test_the_commands_of_the_readme_lead_from_an_own_table_to_a_report(
    sm3kit_command: Command,
) -> None:
    own_studies(Path("my"))
    text = README.read_text(encoding="utf-8")
    (commands,) = re.findall(r"^<!-- own data -->\n```sh\n(.*?)^```", text, re.DOTALL | re.M)
    for line in commands.splitlines():
        program, *words = shlex.split(line)
        assert program == "sm3kit"
        done = sm3kit_command(*words)
        assert done.exit_code == 0, f"$ {line}\n{done.output}"
    record = json.loads(Path("runs/mine/eval/probe-test.json").read_text(encoding="utf-8"))
    assert record["mean"]["auc"] > 0
    page = Path("runs/mine/report.html").read_text(encoding="utf-8")
    assert all(name in page for name in MODALITIES)
