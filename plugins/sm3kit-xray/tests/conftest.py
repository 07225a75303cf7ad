"""What all tests share: one thread, no network, a cache of their own, the command line."""

from __future__ import annotations

import os

# Before torch and huggingface_hub are imported: both read these only then.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import Callable

import pytest
from click.testing import CliRunner

from sm3kit.cli.main import cli


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """The tests neither read nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SM3KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def sm3kit() -> Callable[..., str]:
    """What a command prints, in this process: sm3kit("data", "check", "chexpert:DIR")."""

    def run(*words: object) -> str:
        done = CliRunner().invoke(cli, [str(word) for word in words], prog_name="sm3kit")
        assert done.exit_code == 0, done.output
        return done.stdout

    return run
