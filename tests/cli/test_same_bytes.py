"""The same commands leave the same bytes, whatever process they run in."""

import csv
import os
import subprocess
import sys

import pytest
import warm_processes

SCRIPT = """
import sys
from click.testing import CliRunner
from sm3kit.cli.main import cli
TRAINING = "--data synthetic:60 --image-size 16 --recipe quick --epochs 1 --mlssl-epochs 1"
COMMANDS = [
    f"pretrain {TRAINING} --batch-size 8 --precision 32 --out run",
    "evaluate run --protocol probe --epochs 2",
    "evaluate run --protocol match",
    "predict run --split test --csv predictions.csv",
    "embed run --out features.npz",
    "export run --format safetensors --out weights",
    "export run --format timm --modality derm --out timm",
    "report run",
]
for line in COMMANDS:
    result = CliRunner().invoke(cli, line.split())
    if result.exit_code:
        sys.exit(f"{line}: {result.output}")
"""


def settled(file):
    """The content of a file, without the speed of the machine."""
    if file.name != "metrics.csv":
        return file.read_bytes()
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    return [{n: v for n, v in row.items() if not n.endswith("_per_second")} for row in rows]


@pytest.mark.slow
def test_two_processes_leave_the_same_files(tmp_path):
    """One is started, with another seed of hashes; the other is forked from one that is warm."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, "utf-8")
    homes = [tmp_path / "started", tmp_path / "forked"]
    for home in homes:
        home.mkdir()
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    started = subprocess.Popen([sys.executable, script], cwd=homes[0], env=environment)
    forked = warm_processes.run(script=script, cwd=homes[1])
    assert (started.wait(), *forked) == (0, 0, "", "")
    found = [
        {str(one.relative_to(home)): settled(one) for one in home.rglob("*") if one.is_file()}
        for home in homes
    ]
    assert {"run/model.safetensors", "run/report.html", "weights/README.md"} <= found[0].keys()
    assert found[0].keys() == found[1].keys()
    assert [name for name in found[0] if found[0][name] != found[1][name]] == []
