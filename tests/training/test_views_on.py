"""Views that are made where a run trains: near the others in the first step, and resumable."""

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import altered

from sm3kit.core.errors import OptionError
from sm3kit.core.registry import registry
from sm3kit.data import raw_images
from sm3kit.datasets.base import ModalitySpec
from sm3kit.networks.assemble import build_pool


@pytest.fixture
def one(tiny):
    """One epoch of two steps."""
    return altered(tiny, stage1={"epochs": 1, "batch_size": 14, "monitor_every": 0})


@pytest.fixture
def in_batches(monkeypatch):
    """Views in batches on the device that trains, even if that is a CPU."""
    monkeypatch.setattr(raw_images, "has_gpu", lambda: True)


def there(variant):
    return altered(variant, machine={"views_on": "gpu"})


def flat(said):
    return " ".join(said.split())


def losses(outcome):
    return float(outcome.run.read_metrics("mmssl", 1)[0]["loss"])


def test_the_first_step_learns_from_the_same_views(one, train, in_batches):
    step = altered(one, stage1={"batch_size": 40, "micro_batch": 7})
    (usual, _), (batched, said) = train(step, "a"), train(there(step), "b")
    assert "made on the CPU" not in flat(said)
    assert losses(batched) == pytest.approx(losses(usual), rel=0.02)
    assert losses(batched) != losses(usual)


def test_a_resumed_run_makes_the_views_of_the_straight_run(one, train, in_batches):
    two = there(altered(one, stage1={"epochs": 2}))
    straight, _ = train(two, "straight")
    train(there(one), "broken")
    broken, said = train(two, "broken", resume=True)
    assert "resume   after epoch 1 of 2" in said
    models = [load_file(outcome.run.model) for outcome in (straight, broken)]
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_a_run_may_go_on_with_views_made_elsewhere(one, train, in_batches):
    train(one)
    _, said = train(there(altered(one, stage1={"epochs": 2})), resume=True)
    assert "resume   after epoch 1 of 2" in said


def test_without_a_gpu_views_are_made_on_the_cpu(one, monkeypatch):
    monkeypatch.setattr(raw_images, "has_gpu", lambda: False)
    pool = build_pool(one)
    assert raw_images.in_batches(pool, there(one)) == []
    (note,) = raw_images.notes_on_views(pool, there(one))
    assert note == "There is no GPU for --views-on gpu: views are made on the CPU."
    assert raw_images.notes_on_views(pool, one) == []
    assert raw_images.notes_on_views(pool, there(altered(one, stage="mlssl"))) == []


def test_a_modality_without_batches_keeps_its_views_on_the_cpu(one, train, registered, in_batches):
    class Plain(registry("modalities").get("photo")):
        def views(self, image, rng=None, geometry=None):
            return super().views(image, rng, geometry)

    class Studies(registry("datasets").get("synthetic")):
        def __init__(self, argument="", *, size=32):
            super().__init__("24", size=size)
            self.modalities = {**self.modalities, "clinic": ModalitySpec("plain")}

    registered("modalities", "plain", Plain)
    registered("datasets", "mixed", Studies)
    _, said = train(there(altered(one, data=("mixed",))))
    kept = "Views of clinic (plain) are made on the CPU: their plugin makes none in batches."
    assert kept in flat(said)


def test_another_place_is_refused(one):
    with pytest.raises(OptionError, match="views_on"):
        one.changed({"machine": {"views_on": "tpu"}}, "recipe")
