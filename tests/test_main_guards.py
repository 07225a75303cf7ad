"""Examples and pages can be run where processes that prepare views read the script anew."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import warm_processes

ROOT = Path(__file__).parents[1]
# What may start such processes.
STARTING = {"pretrain", "evaluate", "ablate", "embed", "report", "open_subject", "make_report"}
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "plugins").rglob("*.md")),
]


def scripts() -> Iterator[tuple[str, str]]:
    """Name and source of every example, and of every Python block of the pages."""
    for example in sorted((ROOT / "examples").glob("*.py")):
        yield example.stem, example.read_text(encoding="utf-8")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            line = text[: found.start()].count("\n") + 1
            yield f"{page.relative_to(ROOT)}:{line}", found.group(1)


def unguarded(source: str) -> list[str]:
    """The calls that start processes and run as soon as the script is imported."""
    found = []
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test):
            continue
        calls = (node for node in ast.walk(statement) if isinstance(node, ast.Call))
        names = (ast.unparse(call.func).rpartition(".")[2] for call in calls)
        found += [name for name in names if name in STARTING]
    return found


def parses(source: str) -> bool:
    """Whether a block is a script, and no fragment such as the head of a function."""
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


SCRIPTS = {name: source for name, source in scripts() if parses(source)}


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_trains_stands_under_a_guard(name: str) -> None:
    assert not unguarded(SCRIPTS[name])


def test_the_scripts_are_found_and_some_of_them_train() -> None:
    training = [name for name, source in SCRIPTS.items() if re.search(r"\bpretrain\(", source)]
    assert {"own_fusion", "prediction"} < set(training)
    assert any(name.startswith("README.md") for name in training)
    assert unguarded("from sm3kit.grids.runner import ablate\nablate('quick')") == ["ablate"]


TRAINING = """
import multiprocessing

import sm3kit

multiprocessing.set_start_method("spawn", force=True)
"""
CALL = (
    "sm3kit.pretrain('synthetic:24', stage='mmssl', epochs=1, batch_size=8, workers=1, out='run', "
    "backbone='test_resnet', weights='none', image_size=32, options={'synthetic.size': 32})"
)


def run(script: str, folder: Path) -> tuple[int, str]:
    """Exit code of a script, and what it wrote to stderr."""
    file = folder / "script.py"
    file.write_text(script, encoding="utf-8")
    environment = {"SM3KIT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    code, _, errors = warm_processes.run(script=file, cwd=folder, environment=environment)
    return code, errors


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so_before_anything_is_trained(tmp_path: Path) -> None:
    code, errors = run(f"{TRAINING}\n{CALL}\n", tmp_path)
    line = len(TRAINING.splitlines()) + 2
    assert code == 1
    assert errors.splitlines()[-1] == (
        f"sm3kit.core.errors.VariantError: {tmp_path}/script.py, line {line}: each process that "
        "prepares views would run this script from its top again. Put what it does under "
        '`if __name__ == "__main__":`, or set workers to 0.'
    )
    assert not list(tmp_path.glob("run/variant.yaml"))


@pytest.mark.slow
def test_a_script_with_a_guard_trains_with_spawned_workers(tmp_path: Path) -> None:
    code, errors = run(f'{TRAINING}\nif __name__ == "__main__":\n    {CALL}\n', tmp_path)
    assert code == 0, errors
    assert (tmp_path / "run" / "model.safetensors").is_file()
