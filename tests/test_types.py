"""What a type checker says of the code of users and of new plugins."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from scaffolds import write_with_longest_names

ROOT = Path(__file__).parents[1]
SCRIPT = """
import sm3kit
run = sm3kit.pretrain('synthetic', epochs=2, backbone={'derm': 'resnet18'})
reveal_type(run)
reveal_type(run.evaluate('knn', k=3))
reveal_type(run.predict(derm='a.jpg'))
sm3kit.pretrain(epoch=2)
run.evaluate('nearest')
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """The lines of mypy on a script and on new plugins, in one run: reading torch takes longest."""
    home = tmp_path_factory.mktemp("types")
    script = home / "typed.py"
    script.write_text(SCRIPT, encoding="utf-8")
    folders = write_with_longest_names(home)
    places = [
        place
        for name, folder in folders.items()
        for place in (folder / f"sm3kit_{name}.py", folder / "tests" / f"test_{name}.py")
    ]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--show-absolute-path", script, *places],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "MYPYPATH": os.pathsep.join(map(str, folders.values()))},
    )  # fmt: skip
    assert not done.stderr
    return [line.removeprefix(f"{home}{os.sep}") for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_type_checkers_see_signatures(said):
    """Through decorators and the import on first use; a wrong call is an error of types."""
    own = "\n".join(line for line in said if line.startswith("typed.py:"))
    assert 'Revealed type is "sm3kit.python.run.Run"' in own
    assert 'Revealed type is "sm3kit.python.evaluating.Result"' in own
    assert 'Revealed type is "sm3kit.python.predicting.Prediction"' in own
    assert 'Unexpected keyword argument "epoch" for "pretrain"' in own
    assert "has incompatible type \"Literal['nearest']\"" in own
    assert own.count(": error:") == 2


@pytest.mark.slow
def test_new_plugins_have_strict_types(said):
    assert [line for line in said if not line.startswith("typed.py:")] == [said[-1]]
    assert said[-1].startswith("Found 2 errors in 1 file (checked ")
