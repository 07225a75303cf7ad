"""Steps in micro-batches: loss and gradients of the whole batch, for all that stage 1 combines."""

import dataclasses

import pytest
import torch
import torch.distributed as dist
import warm_processes
from tiny_runs import TINY, altered
from torch import nn
from torch.multiprocessing.spawn import start_processes
from torch.nn.parallel import DistributedDataParallel

from sm3kit.api import register
from sm3kit.backbones.base import Backbone
from sm3kit.core.options import options_of
from sm3kit.core.registry import registry
from sm3kit.data.batches import Batch
from sm3kit.modalities.photo import Photo
from sm3kit.networks.assemble import build_stage1
from sm3kit.networks.teacher import Teacher
from sm3kit.nn.map_shape import MapShape
from sm3kit.training.stage1 import MultiModalSSL

NAMES, STUDIES, SIZE = ("derm", "clinic", "third"), 7, 12
SMALL = {"projection": 4, "hidden": 7, "bottleneck": 4, "prototypes": 6}
OBJECTIVES = {name: registry("objectives").get(name) for name in registry("objectives").names()}
WITHIN = [name for name, objective in OBJECTIVES.items() if objective.on == "modality"]
FUSIONS = [name for name in registry("fusions").names() if name != "none"]
COUNTS = {"two": [3, 4], "three": [2, 2, 3]}  # Studies of each class, by label.


class Layered(Backbone):
    """A convolution and layer norms, whose rows do not know of each other."""

    def __init__(self, model, channels):
        super().__init__()
        self.width, self.map_shapes = 6, [MapShape(5, 2)]
        self.stem_layers = nn.Sequential(
            nn.Conv2d(channels, 5, 3, stride=2, padding=1), nn.GELU(), nn.GroupNorm(1, 5)
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 6))

    def forward(self, view):
        return self.head(self.stem_layers(view))

    def maps(self, view):
        return [self.stem_layers(view)]


class Exact(Photo):
    """Views in the precision that they come in, so that 64 bits show what is equal."""

    def normalise(self, views):
        return super().normalise(views).to(views.dtype)


@pytest.fixture
def stage1(registered):
    """stage1(objective, fusion, ...)(micro_batch): its module, of three modalities."""
    registered("backbones", "layered", Layered)

    return settle


def settle(objective="simclr", fusion="sep_sep", options=None, **settings):
    """build(micro_batch) of a choice of plugins, with small projections."""
    small = {name: n for name, n in SMALL.items() if name in options_of(OBJECTIVES[objective])}
    options = {objective: small, fusion: {"projection": 4}} | (options or {})
    options.pop("none", None)

    def build(micro_batch):
        own = {**settings, "micro_batch": micro_batch}
        changes = {"backbone": "layered/any", "objective": (objective,), "fusion": fusion}
        variant = altered(TINY, **changes, options=options, stage1=own)
        torch.manual_seed(0)
        teachers = {objective: teachers_of(OBJECTIVES[objective])}
        teachers = teachers if OBJECTIVES[objective].wants_teacher else {}
        parts = build_stage1(variant, {name: Exact(SIZE) for name in NAMES}, teachers)
        module = MultiModalSSL(parts, variant, 5).double()
        module.set_rate = lambda *_: None  # There is no optimiser.
        return module

    return build


def teachers_of(objective):
    """Frozen networks with random weights, that know two labels if the objective wants labels."""
    taught = (COUNTS, [0, 1]) if objective.wants_labels else ()
    return {
        name: Teacher(
            Layered("other", 3), Exact(SIZE), *taught, shows_maps=objective.wants_maps
        ).double()
        for name in NAMES
    }


def batch_of(missing=True, views=2, studies=STUDIES):
    """Studies, some of which lack a modality; the third has images of five studies."""
    numbers = torch.Generator().manual_seed(1)
    views = {
        name: [
            torch.randint(0, 255, (studies, 3, SIZE, SIZE), generator=numbers).double()
            for _ in range(views)
        ]
        for name in NAMES
    }
    present = {name: torch.ones(studies, dtype=torch.bool) for name in NAMES}
    if missing:
        present["clinic"][[1, 4]] = False
        present["third"][[0, 4]] = False
    rows = torch.arange(studies)
    labels = torch.stack([rows % 2, rows % 3], dim=1)
    return Batch(views, present, labels, rows, rows)


def gradients(module, batch, half):
    """The loss and the gradients of a step."""
    torch.manual_seed(4)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = module.training_step(batch, 1)
    loss.backward()
    return loss.item(), {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


def check_alike(build, batch, tolerance=1e-6, half=False):
    """In half precision, differences are looked at beside the largest gradient of all."""
    loss, whole = gradients(build(0), batch, half)
    assert whole
    largest = max(gradient.abs().max() for gradient in whole.values())
    for micro_batch in (2, 3):
        other, parts = gradients(build(micro_batch), batch, half)
        assert other == pytest.approx(loss, rel=tolerance)
        assert parts.keys() == whole.keys()
        for name, gradient in whole.items():
            scale = largest if half else gradient.abs().max().clamp_min(1e-6)
            assert (parts[name] - gradient).abs().max() <= tolerance * scale, name


@pytest.mark.parametrize("objective", WITHIN)
def test_every_objective_within_a_modality(stage1, objective):
    """EMA encoders and teachers, too; where all studies have all images, and where some lack one."""
    build = stage1(objective, "none")
    views = 4 if OBJECTIVES[objective].wants_rotations else 2
    check_alike(build, batch_of(missing=False, views=views))
    check_alike(build, batch_of(views=views))


def test_relations_to_a_teacher(stage1):
    check_alike(stage1("distill", "none", {"distill": {"loss": "relational"}}), batch_of())


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion(stage1, fusion):
    check_alike(stage1("simclr", fusion), batch_of())


@pytest.mark.parametrize("loss", ["ntx", "vicreg", "barlow", "clip"])
def test_every_loss_between_modalities(stage1, loss):
    check_alike(stage1(options={"crossmodal": {"loss": loss}}), batch_of())


def test_views_that_are_one_batch(stage1):
    check_alike(stage1(join_views=True), batch_of())


def test_half_precision(stage1):
    """Each row is rounded the same way, whatever batch it is in; sums of gradients are not."""
    batch = batch_of()
    views = {name: [view.float() for view in own] for name, own in batch.views.items()}
    batch = dataclasses.replace(batch, views=views)
    build = stage1()
    check_alike(lambda micro_batch: build(micro_batch).float(), batch, tolerance=2e-2, half=True)


def _half(rank, folder):
    """One of two processes that share negatives: its gradients, whole and in micro-batches."""
    torch.set_num_threads(1)
    register("backbones", "layered")(Layered)
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    sharing = {name: {"gather": True, "temperature": 0.5} for name in ("simclr", "crossmodal")}
    build = settle(options={**sharing, "sep_sep": {"projection": 4}})
    own = slice(4 * rank, 4 * rank + 4)
    batch = batch_of(missing=False, studies=8)
    views = {name: [view[own] for view in views] for name, views in batch.views.items()}
    present = {name: mask[own] for name, mask in batch.present.items()}
    tables = (batch.labels[own], batch.index[own], batch.group[own])
    found = {}
    for micro_batch in (0, 2):
        module = build(micro_batch)
        module.forward = module.training_step  # As Lightning does.
        whole = DistributedDataParallel(module, find_unused_parameters=True)
        whole(Batch(views, present, *tables), 1).backward()
        found[micro_batch] = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    if rank == 0:
        torch.save(found, folder / "found.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_that_share_negatives(tmp_path):
    """DDP averages the same gradients, whole and in micro-batches."""
    method = warm_processes.CONTEXT.get_start_method()
    start_processes(_half, args=(tmp_path,), nprocs=2, start_method=method)
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    assert found[0].keys() == found[2].keys()
    assert any(gradient.abs().max() > 1e-3 for gradient in found[0].values())
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[2][name], gradient, rtol=1e-6, atol=1e-9)


def test_a_run_in_micro_batches_goes_on_bit_for_bit(tiny, train, tmp_path):
    tiny = altered(tiny, stage1={"micro_batch": 3, "monitor_every": 0}, data=("synthetic:30",))
    train(tiny, "straight")
    train(altered(tiny, stage1={"epochs": 1}), "resumed")
    train(tiny, "resumed", resume=True)
    files = [
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("straight", "resumed")
    ]
    assert files[0] == files[1]
