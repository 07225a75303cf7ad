"""Every example runs as it stands, from an empty folder, and stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import warm_processes

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
SAID = {
    "own_fusion": [r"^epoch 1/1 ", r"^loss     simclr \+ crossmodal, fusion clip$"],
    "own_grid": [r"^sep_sep, colder, seed 1: mean rank [\d.]+$"],
    "own_manifest": [r"^epoch 1/1 ", r"^The run is in runs"],
    "prediction": [r"^DIAG +\w+ +\d+\.\d ", r"^from derm alone: \w+, "],
    "three_modalities": [
        r"^epoch 1/1 ",
        r"^photo->infrared: mean rank [\d.]+ of 9$",
        r"^ultrasound->infrared: mean rank [\d.]+ of 7$",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_trains(example: Path, tmp_path: Path) -> None:
    environment = {"SM3KIT_CACHE": str(tmp_path / "cache")}
    code, said, errors = warm_processes.run(script=example, cwd=tmp_path, environment=environment)
    assert code == 0, errors
    assert list(tmp_path.glob("runs/**/model.safetensors"))
    for line in SAID[example.stem]:
        assert re.search(line, said, re.M), said


def test_what_every_example_says_is_known() -> None:
    assert set(SAID) == {example.stem for example in EXAMPLES}


def test_examples_are_short() -> None:
    lengths = {one.stem: len(one.read_text(encoding="utf-8").splitlines()) for one in EXAMPLES}
    assert not {name: length for name, length in lengths.items() if length >= 60}
