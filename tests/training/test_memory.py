"""Where the memory of a GPU is too small, each training names what it lets itself be lowered."""

import io

import pytest
import torch
from rich.console import Console

from sm3kit.core.errors import TrainingError
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.opening import open_subject
from sm3kit.evaluation.settings import Settings
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.training.stage1 import MultiModalSSL
from sm3kit.training.stage2 import MultiLabelSSL
from sm3kit.training.supervised import Supervised


@pytest.fixture
def full(monkeypatch):
    """full(kind): no memory for any step of a module."""

    def fill(kind):
        def step(self, batch, batch_idx):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        monkeypatch.setattr(kind, "training_step", step)

    return fill


def test_stage_1_names_its_batch_its_images_and_what_its_backbone_can_save(full, tiny, train):
    full(MultiModalSSL)
    with pytest.raises(TrainingError) as caught:
        train(tiny)
    assert str(caught.value) == (
        "The GPU has not enough memory for stage 1. Set --micro-batch below 8, or lower --batch-size, "
        "now 8, or --image-size, now 32, or set -o timm.grad_checkpointing=true."
    )


def test_stage_2_names_its_own_batch(full, second, train, tmp_path):
    full(MultiLabelSSL)
    with pytest.raises(TrainingError) as caught:
        train(second)
    assert str(caught.value) == (
        "The GPU has not enough memory for stage 2. Lower -o stage2.batch_size, now "
        f"{second.stage2.batch_size}. "
        f"Stage 1 is kept; continue from it with --stage mlssl --init {tmp_path / 'run'}."
    )


@pytest.mark.parametrize(
    ("protocol", "title"), [("probe", "the probe"), ("finetune", "the fine-tuning")]
)
def test_an_evaluation_names_the_option_of_evaluate(full, stage1_run, tmp_path, protocol, title):
    full(Supervised)
    quiet = Reporter(Console(file=io.StringIO()))
    subject = open_subject(stage1_run, [], ImageCache(None), FeatureCache(None), quiet)
    settings = Settings(protocol=protocol, select="last", batch_size=16, seed=0)
    with pytest.raises(TrainingError) as caught:
        evaluate(subject, settings, tmp_path / "result.json")
    assert str(caught.value) == (
        f"The GPU has not enough memory for {title}. Lower --batch-size of the evaluation, now 16."
    )
