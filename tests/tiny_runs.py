"""Runs that take a second, for the tests of every room."""

import dataclasses
import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from sm3kit.core.stage_settings import MachineSettings, Stage1Settings
from sm3kit.core.variant import PARTS, Variant
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.training.pretrain import pretrain


def altered(variant, /, **changes):
    """A copy of a variant; a dict for `stage1`, `stage2` or `machine` changes these settings alone."""
    for name in PARTS:
        if isinstance(changes.get(name), dict):
            changes[name] = dataclasses.replace(getattr(variant, name), **changes[name])
    return dataclasses.replace(variant, **changes)


TINY = Variant(
    data=("synthetic:40",),
    backbone="timm/test_resnet",
    weights="none",
    stage="mmssl",
    image_size=32,
    options={"synthetic": {"size": 32}, "sep_sep": {"projection": 16}},
    stage1=Stage1Settings(
        epochs=2, batch_size=8, lr=1e-3, eps=1e-8, monitor_every=1, precision="32"
    ),
    machine=MachineSettings(workers=0),
)


SMALL_RELATIONS = {name: {"embedding": 16} for name in ("proj", "msa", "tel", "te")}
TINY2 = altered(
    TINY,
    stage="both",
    options={**TINY.options, **SMALL_RELATIONS, "faiss": {"restarts": 1}},
    stage1={"epochs": 1, "monitor_every": 0},
    stage2={"epochs": 2, "batch_size": 12, "lr": 1e-2, "feature_views": 2},
)


@pytest.fixture
def tiny():
    """Two epochs of stage 1."""
    return TINY


@pytest.fixture
def tiny2():
    """One epoch of stage 1 and two of stage 2."""
    return TINY2


@pytest.fixture(scope="session")
def first(tmp_path_factory):
    """The folder of a run of stage 1, to start from. It must not be changed."""
    folder = tmp_path_factory.mktemp("first") / "run"
    quiet = Reporter(Console(file=io.StringIO()))
    pretrain(dataclasses.replace(TINY2, stage="mmssl"), folder, quiet, ImageCache(None))
    return folder


@pytest.fixture(scope="session")
def both(tmp_path_factory):
    """The folder of a run of both stages. It must not be changed."""
    folder = tmp_path_factory.mktemp("both") / "run"
    pretrain(TINY2, folder, Reporter(Console(file=io.StringIO())), ImageCache(None))
    return folder


@pytest.fixture
def second(first):
    """Two epochs of stage 2 on the networks of `first`."""
    return dataclasses.replace(TINY2, stage="mlssl", init=str(first))


@pytest.fixture
def train(tmp_path):
    """train(variant, folder="run", resume=False, features=None) -> (outcome, what was said)."""

    def run(variant, folder="run", resume=False, features=None):
        said = io.StringIO()
        reporter = Reporter(Console(file=said, width=80))
        cache = ImageCache(tmp_path / "images")
        kept = FeatureCache(features)
        outcome = pretrain(variant, tmp_path / folder, reporter, cache, resume, kept)
        return outcome, said.getvalue()

    return run


@pytest.fixture
def with_changes():
    return altered


@pytest.fixture
def milk10k_folder():
    """Real pairs, where a copy lies beside the checkout or where SM3KIT_TEST_DATA says."""
    beside = Path(__file__).parents[1].parent / "shared"
    folder = Path(os.environ.get("SM3KIT_TEST_DATA") or beside) / "milk10k-600"
    if not folder.is_dir():
        pytest.skip("no sample of MILK10k here")
    return folder
