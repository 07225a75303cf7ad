"""A pre-training that takes a second."""

import dataclasses
import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from sm3kit.core.variant import Variant
from sm3kit.engine.image_cache import ImageCache
from sm3kit.engine.pretrain import pretrain
from sm3kit.engine.progress import Reporter

TINY = Variant(
    data=("synthetic:40",),
    backbone="timm/test_resnet",
    weights="none",
    epochs=2,
    batch_size=8,
    image_size=32,
    lr=1e-3,
    eps=1e-8,
    workers=0,
    monitor_every=1,
    precision="32",
    options={"synthetic": {"size": 32}, "sep_sep": {"projection": 16}},
)


@pytest.fixture
def tiny():
    return TINY


@pytest.fixture
def train(tmp_path):
    """train(variant, folder="run", resume=False) -> (outcome, what was said)."""

    def run(variant, folder="run", resume=False):
        said = io.StringIO()
        reporter = Reporter(Console(file=said, width=80))
        cache = ImageCache(tmp_path / "images")
        outcome = pretrain(variant, tmp_path / folder, reporter, cache, resume)
        return outcome, said.getvalue()

    return run


@pytest.fixture
def with_changes():
    return dataclasses.replace


@pytest.fixture
def milk10k_folder():
    """Real pairs, where a copy lies beside the checkout or where SM3KIT_TEST_DATA says."""
    beside = Path(__file__).parents[2].parent / "shared"
    folder = Path(os.environ.get("SM3KIT_TEST_DATA") or beside) / "milk10k-600"
    if not folder.is_dir():
        pytest.skip("no sample of MILK10k here")
    return folder
