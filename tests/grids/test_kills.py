"""SIGKILL at random moments costs the stage in flight and nothing else."""

import sys
import time

import pytest
from killing import differences, finish, kill_often, kill_once
from tiny_grid import tiny, write

from sm3kit.grids import runner

TABLES = ("table.csv", "table.md", "table.tex", "table.html")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc")
def test_kills_change_nothing(tmp_path):
    rows = {"sep_sep": {"recipe": "sep_sep"}, "tel": {"recipe": "tel"}}
    file = write(tmp_path / "own.yaml", tiny(rows=rows, baseline="sep_sep"))
    runner.ablate(file, out=tmp_path / "quiet")
    words = ["ablate", "--grid", file, "--out", tmp_path / "killed", "--jobs", "2"]
    met, _ = kill_often(words, 3, 12, seed=2)
    for name in TABLES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "quiet" / name).read_bytes()
    folder = runner.Folder(tmp_path / "killed")
    records = [folder.record(key) for key in folder.plan().tasks]
    assert {record.completions for record in records} == {1}
    # Each kill costs what was in flight: one stage of each worker.
    assert sum(record.starts - 1 for record in records) <= met * 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc")
def test_a_killed_training_that_goes_on_leaves_the_same_files(tmp_path):
    more = ["--data", "synthetic:24", "--image-size", "16", "--recipe", "quick"]
    more += ["--epochs", "2", "--mlssl-epochs", "2", "--batch-size", "8", "--precision", "32"]
    folder, quiet = tmp_path / "run", tmp_path / "quiet"
    began = time.perf_counter()
    finish(["pretrain", *more, "--out", folder])
    whole = time.perf_counter() - began
    folder.rename(quiet)
    kill_once(["pretrain", *more, "--out", folder], 0.75 * whole)
    begun = (folder / "variant.yaml").is_file()
    finish(["pretrain", *(["--resume"] if begun else more), "--out", folder])
    assert differences(quiet, folder) == []


def test_what_a_killed_worker_left_half_written_goes_with_its_stage_alone(tmp_path):
    folder = runner.Folder(tmp_path)
    own, other = "0123456789abcdef", "fedcba9876543210"
    names = ["stages/.{}.json", "results/.{}.json", "results/.{}.predictions.npz"]
    names += ["results/.{}.safetensors", "results/{}/.metrics.csv"]
    left = {
        key: [tmp_path / f"{name.format(key)}.0123456789ab.part" for name in names]
        for key in (own, other)
    }
    for file in [*left[own], *left[other]]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    folder.remove_unfinished(own)
    assert not any(file.exists() for file in left[own])
    assert all(file.exists() for file in left[other])
