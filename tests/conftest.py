"""What all tests share: one thread, no network, a cache of their own.

Fake distributions, tiny studies and commands in this process come from `sm3kit.pytest_plugin`.
"""

import os

# Before torch and huggingface_hub are imported: both read these only then.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path

import pytest

pytest_plugins = ["shared_folders", "tiny_runs"]
FEW_FILES = 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """No other processes for a few files, nor where a test talks to the terminal.

    Else what xdist does: a process per core, or as many as PYTEST_XDIST_AUTO_NUM_WORKERS says.
    """
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    named = {Path(word.partition("::")[0]) for word in config.args}
    few = len(named) <= FEW_FILES and all(path.is_file() for path in named)
    return 0 if few or config.option.capture == "no" else None


def pytest_make_parametrize_id(val):
    """Bytes are named by their length: some hold the time at which they were made.

    Every process must collect the same names.
    """
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that no process is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """The tests neither read nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SM3KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
