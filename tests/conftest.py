"""What all tests share: one thread, no network, a cache of their own.

Fake distributions, tiny studies and commands in this process come from `sm3kit.pytest_plugin`.
"""

import os

# Before torch and huggingface_hub are imported: both read these only then.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """The tests neither read nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SM3KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
