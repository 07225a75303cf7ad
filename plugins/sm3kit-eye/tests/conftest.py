"""What all tests share: one thread, no network, a cache of their own, the command line."""

from __future__ import annotations

import os

# Before torch and huggingface_hub are imported: both read these only then.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """The tests neither read nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SM3KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def sm3kit() -> Callable[..., str]:
    """What the real command prints: sm3kit("data", "check", "gamma:DIR")."""

    def run(*words: object) -> str:
        command = [sys.executable, "-m", "sm3kit", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run
