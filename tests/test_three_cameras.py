"""From the command line alone: MRA-MIDAS, whose lesions are photographed by three cameras."""

from __future__ import annotations

import json
import re
from itertools import permutations
from pathlib import Path

import pytest
import yaml
from click.testing import Result

from sm3kit.pytest_plugin import Command

CAMERAS = ("derm", "clinic15", "clinic30")
DIRECTIONS = {f"{one}→{other}" for one, other in permutations(CAMERAS, 2)}
SMALL = ("--image-size", "32", "--batch-size", "16", "--epochs", "1", "--workers", "0")
LABELS = ("-o", "midas.labels=DIAG,MALIGNANT")
CHEAP = ("-o", "evaluate.resamples=10", "-o", "evaluate.feature_views=1")
GRID = {
    "title": "Three cameras",
    "data": "midas:m",
    "base": {
        "recipe": "quick",
        "backbone": "timm/test_resnet",
        "stage": "mmssl",
        "image_size": 32,
        "stage1": {"epochs": 1, "batch_size": 16, "monitor_every": 0},
        "machine": {"workers": 0},
        "options": {"midas": {"labels": "DIAG,MALIGNANT"}},
    },
    "protocols": ["match"],
    "rows": {"concat": {"fusion": "concat"}},
}


@pytest.mark.slow
def test_three_cameras_from_the_check_to_the_grid(sm3kit_command: Command) -> None:
    def say(*words: str | Path) -> Result:
        done = sm3kit_command(*words)
        assert done.exit_code == 0, f"$ {' '.join(map(str, words))}\n{done.output}"
        return done

    say("data", "synth", "--layout", "midas", "--out", "m", "--pairs", "24", "--size", "32")
    checked = say("data", "check", "midas:m").output
    assert all(f"with {name} " in checked for name in CAMERAS)
    assert "No problem found." in checked

    quick = ("--recipe", "quick", "--backbone", "timm/test_resnet", "--stage", "mmssl")
    say("pretrain", "--data", "midas:m", *quick, *SMALL, *LABELS, "--out", "run")
    probe = json.loads(
        say("evaluate", "run", "--epochs", "2", "--select", "last", *CHEAP, "--json").stdout
    )
    assert list(probe["labels"]) == ["DIAG", "MALIGNANT"]
    matched = json.loads(say("evaluate", "run", "--protocol", "match", *CHEAP, "--json").stdout)
    written = {direction.replace("→", "->") for direction in DIRECTIONS}
    assert all(set(of_space) == written for of_space in matched["space"].values())

    image = next(Path("m").glob("*.jpg"))
    for camera in CAMERAS:
        said = say("predict", "run", "--image", f"{camera}={image}").output
        missing = ", ".join(name for name in CAMERAS if name != camera)
        assert f"missing  {missing}: predicted without" in " ".join(said.split("\n"))

    say("report", "run")
    page = Path("run/report.html").read_text(encoding="utf-8")
    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert all(direction.replace("→", " → ") in words for direction in DIRECTIONS)

    Path("grid.yaml").write_text(yaml.safe_dump(GRID), encoding="utf-8")
    table = say(
        "ablate", "--grid", "grid.yaml", "--seeds", "0", "--jobs", "1", "--out", "grid"
    ).output
    assert re.search(r"concat", table)
