"""What only a GPU shows; left out where there is none."""

import math

import pytest
import torch
from tiny_runs import altered

from sm3kit.core.registry import registry
from sm3kit.training.hardware import resolved_precision

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def final_loss(outcome):
    return float(outcome.run.read_metrics("mmssl", 99)[-1]["loss"])


@pytest.mark.parametrize("precision", ["auto", "16-mixed", "bf16-mixed", "32"])
def test_every_precision_trains(tiny, train, precision):
    outcome, _ = train(altered(tiny, stage1={"precision": precision}))
    assert math.isfinite(final_loss(outcome))


def test_mixed_precision_is_near_full_precision(tiny, train):
    one, _ = train(altered(tiny, stage1={"precision": "32"}), "full")
    other, _ = train(altered(tiny, stage1={"precision": "auto"}), "mixed")
    assert final_loss(other) == pytest.approx(final_loss(one), rel=0.1)


def test_auto_is_mixed():
    assert resolved_precision("auto", torch.nn.Linear(1, 1)) in ("bf16-mixed", "16-mixed")


def test_a_run_resumes_on_the_gpu(tiny, train):
    train(altered(tiny, stage1={"epochs": 1, "precision": "16-mixed"}))
    outcome, said = train(altered(tiny, stage1={"precision": "16-mixed"}), resume=True)
    assert "resume   after epoch 1 of 2" in said
    assert outcome.run.finished


@pytest.mark.parametrize("feature_views", [0, 2])
def test_stage_2_trains_and_resumes_on_the_gpu(tiny2, train, feature_views):
    one = altered(tiny2, stage2={"feature_views": feature_views, "bn_leak": True})
    train(one)
    outcome, said = train(altered(one, stage2={"epochs": 3}), resume=True)
    assert "resume   stage 2 after epoch 2 of 3" in said
    assert outcome.run.finished
    assert math.isfinite(float(outcome.run.read_metrics("mlssl", 99)[-1]["loss"]))


def test_faiss_clusters_the_same_on_gpu_and_cpu():
    component = registry("clusterers").get("faiss")
    torch.manual_seed(0)
    points = torch.eye(4, 32)[torch.arange(4000) % 4] * 10 + 0.1 * torch.randn(4000, 32)
    found = [component(gpu=gpu).fit(points, 4, seed=0).assignments for gpu in (True, False)]
    pairs = set(zip(found[0].tolist(), found[1].tolist(), strict=True))
    assert len(pairs) == 4
