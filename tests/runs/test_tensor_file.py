"""Files of weights: the same tensors, the same bytes."""

import ast
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import sm3kit
from sm3kit.runs.tensor_file import write_tensors

TENSORS = {
    "b.weight": torch.arange(6.0).reshape(2, 3),
    "a.weight": torch.ones(3, dtype=torch.float16),
    "é.count": torch.tensor([1, 2]),
}
METADATA = {"sm3kit": '{"é": "\\u0001 \\n"}', "scope": "heads", "a": "", "z": "\x00\x7f\u2028"}
# Sets differ by PYTHONHASHSEED, and the library's own order differs by process.
SCRIPT = """
import sys
from pathlib import Path
import torch
from sm3kit.runs.tensor_file import write_tensors
names = list({"x", "y", "z", "weight", "bias", "running_mean"})
tensors = {name: torch.full((3,), float(len(name))) for name in names}
write_tensors(Path(sys.argv[1]), tensors, {name: name.upper() for name in names})
"""


@pytest.mark.slow
def test_processes_write_the_same_bytes(tmp_path):
    running = []
    for seed in ("0", "1", "2"):
        words = [sys.executable, "-c", SCRIPT, str(tmp_path / seed)]
        running.append(subprocess.Popen(words, env={**os.environ, "PYTHONHASHSEED": seed}))
    assert [one.wait() for one in running] == [0, 0, 0]
    assert len({(tmp_path / seed).read_bytes() for seed in "012"}) == 1


def test_order_does_not_matter(tmp_path):
    draw = random.Random(0)
    written = set()
    for _ in range(8):
        tensors, told = list(TENSORS.items()), list(METADATA.items())
        draw.shuffle(tensors)
        draw.shuffle(told)
        write_tensors(tmp_path / "one", dict(tensors), dict(told))
        written.add((tmp_path / "one").read_bytes())
    assert len(written) == 1


def test_what_was_written_is_read_back(tmp_path):
    write_tensors(tmp_path / "one", TENSORS, METADATA)
    kept = load_file(tmp_path / "one")
    assert kept.keys() == TENSORS.keys()
    assert all(torch.equal(kept[name], TENSORS[name]) for name in TENSORS)
    assert {name: kept[name].dtype for name in kept} == {n: t.dtype for n, t in TENSORS.items()}
    with safe_open(tmp_path / "one", "pt") as file:
        assert file.metadata() == {"format": "pt", **METADATA}


def test_it_differs_from_the_library_in_the_header_alone(tmp_path):
    write_tensors(tmp_path / "ours", TENSORS, METADATA)
    save_file(TENSORS, tmp_path / "theirs", {"format": "pt", **METADATA})
    ours, theirs = ((tmp_path / name).read_bytes() for name in ("ours", "theirs"))
    length = 8 + int.from_bytes(theirs[:8], "little")
    assert ours[:8] == theirs[:8]
    assert ours[length:] == theirs[length:]


def test_a_view_and_a_gradient_can_be_written(tmp_path):
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    write_tensors(tmp_path / "one", {"weight": weight.T})
    assert torch.equal(load_file(tmp_path / "one")["weight"], weight.detach().T)


def test_a_disk_that_fills_leaves_the_old_file(tmp_path):
    """A limit on the size of files is the real thing, without filling a disk."""
    path = tmp_path / "one"
    write_tensors(path, TENSORS)
    before = path.read_bytes()
    code = (
        "import resource, sys, torch; from pathlib import Path\n"
        "from sm3kit.core.errors import SM3Error; from sm3kit.runs.tensor_file import write_tensors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_tensors(Path(sys.argv[1]), {'a': torch.zeros(9000)}, remedy='Empty the bin.')\n"
        "except SM3Error as e: print(e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"Cannot write {path}: ")
    assert "File too large" in done.stdout
    assert done.stdout.endswith("Empty the bin.\n")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


WRITERS = [
    *Path(sm3kit.__file__).parent.rglob("*.py"),
    *Path(sm3kit.__file__).parents[1].glob("plugins/*/sm3kit_*/**/*.py"),
]


@pytest.mark.parametrize("word", ["save_file", "serialize_file"])
def test_nobody_else_writes_such_files(word):
    users = {
        file.name
        for file in WRITERS
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("safetensors")
        and word in [alias.name for alias in node.names]
    }
    assert users == ({"tensor_file.py"} if word == "save_file" else set())
