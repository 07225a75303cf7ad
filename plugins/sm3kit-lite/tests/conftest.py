"""What the tests share: no network, the command, the networks."""

import os

# Before torch and huggingface_hub are imported: both read these only then.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

from importlib.util import find_spec

import pytest

from sm3kit_lite.weight_package import PACKAGES


@pytest.fixture
def sm3kit(sm3kit_command):
    """Runs `sm3kit ...` as a user does, which has to succeed; gives what it wrote."""

    def run(*words):
        done = sm3kit_command(*words)
        assert done.exit_code == 0, done.output
        return done.output

    return run


@pytest.fixture(params=PACKAGES)
def installed_model(request):
    """Every model whose weights are installed."""
    if not find_spec(PACKAGES[request.param].project.replace("-", "_")):
        pytest.skip(f"{PACKAGES[request.param].project} is not installed")
    return request.param
