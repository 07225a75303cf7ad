"""SIGKILL at random moments costs the stage in flight and nothing else."""

import sys

import pytest
from killing import killed
from tiny_grid import tiny, write

from sm3kit.ablation import runner

TABLES = ("table.csv", "table.md", "table.tex", "table.html")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc")
@pytest.mark.parametrize("jobs", [1, 2])
def test_kills_change_nothing(tmp_path, jobs):
    rows = {"sep_sep": {"recipe": "sep_sep"}, "tel": {"recipe": "tel"}}
    file = write(tmp_path / "own.yaml", tiny(rows=rows, baseline="sep_sep"))
    runner.ablate(file, out=tmp_path / "quiet")
    words = [sys.executable, "-m", "sm3kit", "ablate", "--grid", file]
    words += ["--out", str(tmp_path / "killed"), "--jobs", str(jobs)]
    met, _ = killed(words, 3, 15, seed=jobs)
    for name in TABLES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "quiet" / name).read_bytes()
    folder = runner.Folder(tmp_path / "killed")
    records = [folder.record(key) for key in folder.plan().stages]
    assert {one.completions for one in records} == {1}
    # Each kill costs what was in flight: one stage of each worker.
    assert sum(one.starts - 1 for one in records) <= met * jobs
