"""Steps in micro-batches: loss and gradients of the whole batch, for all that stage 1 combines."""

import dataclasses

import pytest
import torch
from tiny_runs import altered
from torch import nn

from sm3kit.backbones.base import Backbone
from sm3kit.core.options import options_of
from sm3kit.core.registry import registry
from sm3kit.data.batches import Batch
from sm3kit.modalities.photo import Photo
from sm3kit.networks.assemble import build_stage1
from sm3kit.training.stage1 import MultiModalSSL

NAMES, STUDIES, SIZE = ("derm", "clinic", "third"), 7, 12
SMALL = {"projection": 4, "hidden": 7, "bottleneck": 4, "prototypes": 6}
WITHIN = [
    name
    for name in registry("objectives").names()
    if registry("objectives").get(name).on == "modality"
    and not registry("objectives").get(name).wants_teacher
]


class Layered(Backbone):
    """A convolution and layer norms, whose rows do not know of each other."""

    def __init__(self, model, channels):
        super().__init__()
        self.width = 6
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 5, 3, stride=2),
            nn.GELU(),
            nn.GroupNorm(1, 5),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(20, 6),
        )

    def forward(self, view):
        return self.layers(view)


class Exact(Photo):
    """Views in the precision that they come in, so that 64 bits show what is equal."""

    def normalise(self, views):
        return super().normalise(views).to(views.dtype)


@pytest.fixture
def stage1(registered, tiny):
    """stage1(objective, fusion, ...)(micro_batch): its module, of three modalities."""
    registered("backbones", "layered", Layered)

    def settle(objective="simclr", fusion="sep_sep", **settings):
        known = options_of(registry("objectives").get(objective))
        small = {name: n for name, n in SMALL.items() if name in known}
        options = {objective: small} | ({} if fusion == "none" else {fusion: {"projection": 4}})

        def build(micro_batch):
            own = {**settings, "micro_batch": micro_batch}
            changes = {"backbone": "layered/any", "objective": (objective,), "fusion": fusion}
            variant = altered(tiny, **changes, options=options, stage1=own)
            torch.manual_seed(0)
            parts = build_stage1(variant, {name: Exact(SIZE) for name in NAMES})
            module = MultiModalSSL(parts, variant, 5).double()
            module.set_rate = lambda *_: None  # There is no optimiser.
            return module

        return build

    return settle


def batch_of(missing=True):
    """Seven studies, some of which lack a modality; the third has images of five studies."""
    numbers = torch.Generator().manual_seed(1)
    views = {
        name: [
            torch.randint(0, 255, (STUDIES, 3, SIZE, SIZE), generator=numbers).double()
            for _ in range(2)
        ]
        for name in NAMES
    }
    present = {name: torch.ones(STUDIES, dtype=torch.bool) for name in NAMES}
    if missing:
        present["clinic"][[1, 4]] = False
        present["third"][[0, 4]] = False
    rows = torch.arange(STUDIES)
    return Batch(views, present, torch.full((STUDIES, 1), -1), rows, rows)


def gradients(module, batch, half):
    """The loss and the gradients of a step."""
    torch.manual_seed(4)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = module.training_step(batch, 1)
    loss.backward()
    return loss.item(), {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


def check_alike(build, batch, tolerance=1e-6, half=False):
    loss, whole = gradients(build(0), batch, half)
    assert whole
    for micro_batch in (2, 3):
        other, parts = gradients(build(micro_batch), batch, half)
        assert other == pytest.approx(loss, rel=tolerance)
        assert parts.keys() == whole.keys()
        for name, gradient in whole.items():
            scale = gradient.abs().max().clamp_min(1e-6)
            assert (parts[name] - gradient).abs().max() <= tolerance * scale, name


@pytest.mark.parametrize("objective", WITHIN)
def test_every_objective_within_a_modality(stage1, objective):
    """EMA encoders, too; where every study has all images, and where some are missing."""
    build = stage1(objective, "none")
    check_alike(build, batch_of(missing=False))
    check_alike(build, batch_of())


@pytest.mark.parametrize("fusion", [n for n in registry("fusions").names() if n != "none"])
def test_every_fusion(stage1, fusion):
    check_alike(stage1("simclr", fusion), batch_of())


def test_views_that_are_one_batch(stage1):
    check_alike(stage1(join_views=True), batch_of())


def test_half_precision(stage1):
    """Each row is rounded the same way, whatever batch it is in; sums of gradients are not."""
    batch = batch_of()
    views = {name: [view.float() for view in own] for name, own in batch.views.items()}
    batch = dataclasses.replace(batch, views=views)
    build = stage1()
    check_alike(lambda micro_batch: build(micro_batch).float(), batch, tolerance=2e-2, half=True)


def test_a_run_in_micro_batches_goes_on_bit_for_bit(tiny, train, tmp_path):
    changed = {"micro_batch": 3, "monitor_every": 0}
    train(altered(tiny, stage1=changed), "straight")
    train(altered(tiny, stage1={**changed, "epochs": 1}), "resumed")
    train(altered(tiny, stage1=changed), "resumed", resume=True)
    files = [
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("straight", "resumed")
    ]
    assert files[0] == files[1]
