"""How the tests themselves are run: on all cores, one thread each, and a few files in one process."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("words", "capture", "workers"),
    [
        ([str(HERE)], "fd", None),
        (["tests", __file__], "fd", None),
        ([str(HERE)], "no", 0),
        ([f"{__file__}::test_one", f"{__file__}::test_two", str(HERE / "test_laws.py")], "fd", 0),
        ([str(path) for path in sorted(HERE.glob("test_*.py"))], "fd", None),
    ],
)
def test_processes_are_started_where_they_pay(pytestconfig, monkeypatch, words, capture, workers):
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    hooks = pytestconfig.pluginmanager.get_plugin(str(HERE / "conftest.py"))
    config = SimpleNamespace(args=words, option=SimpleNamespace(capture=capture))
    assert hooks.pytest_xdist_auto_num_workers(config) == workers
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "3")
    assert hooks.pytest_xdist_auto_num_workers(config) is None


def test_a_process_has_the_threads_of_the_environment():
    assert torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"])
