"""Stage 1 of recipes over networks of a few weights, and tables of numbers for it."""

from types import SimpleNamespace

import torch
from row_settings import recipe
from small_networks import WIDTH, Plain

from sm3kit.backbones.timm import Timm
from sm3kit.data.batches import Batch
from sm3kit.datasets import derm7pt
from sm3kit.fusions.sep_sep import SepSep
from sm3kit.networks.assemble import build_stage1
from sm3kit.published.tables import load
from sm3kit.training import stage1
from sm3kit.training.stage1 import MultiModalSSL

MODALITIES = derm7pt.MODALITIES
COUNT, STEPS = 8, 5
TRAINING = sum(load().labels["DIAG"].counts["train"].values())
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # float32


def training(*names, **changes):
    """Stage 1 of recipes, over tiny networks."""
    variant = recipe(*names, backbone="small/any", **changes)
    modalities = {name: Plain() for name in MODALITIES}
    return MultiModalSSL(build_stage1(variant, modalities), variant, STEPS)


def table(count=COUNT, width=WIDTH, seed=0, kind=torch.float64):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=kind)


def streams(count=COUNT):
    """Two views of each modality, as a fusion gives them."""
    return {
        name: [table(count, seed=2 * number + view) for view in range(2)]
        for number, name in enumerate(MODALITIES)
    }


def batch(count=COUNT, kind=torch.float32):
    generator = torch.Generator().manual_seed(1)
    views = {
        name: [torch.randn(count, 3, 5, 5, generator=generator, dtype=kind) for _ in range(2)]
        for name in MODALITIES
    }
    present = {name: torch.ones(count, dtype=torch.bool) for name in MODALITIES}
    index = torch.arange(count)
    return Batch(views, present, torch.full((count, 1), -1), index, index)


def counts(module):
    """How often each batch norm of a module has moved its statistics."""
    state = module.state_dict().items()
    return {int(value) for name, value in state if name.endswith("num_batches_tracked")}


def rates(module):
    """{learning rate: weights} of the optimiser of a module."""
    return {one["lr"]: one["params"] for one in module.configure_optimizers().param_groups}


def crossed(name, given, **more):
    """The cross-modal loss of a recipe."""
    (term,) = training(name).parts.crossings["crossmodal"](given, **more).values()
    return term


def last_batch(name):
    """How many studies the last batch of an epoch of Derm7pt has."""
    job = SimpleNamespace(
        variant=recipe(name), cases=[SimpleNamespace(group=row) for row in range(TRAINING)]
    )
    return len(list(stage1._batches(job, 0, 1, 0))[-1])


def width_of_the_joint_feature():
    """J of two networks of the default, without their weights."""
    assert recipe("sm3").backbone == "timm/resnet50.tv_in1k"
    with torch.device("meta"):
        width = Timm("resnet50.tv_in1k", 3).width
        return SepSep(dict.fromkeys(MODALITIES, width)).joint_width


def same_weights(weights, others):
    return {id(one) for one in weights} == {id(one) for one in others}


def rates_over(name):
    """The learning rates at the begin, in the middle and at the end of a training."""
    module = training(name)
    optimiser = module.configure_optimizers()
    module._trainer = SimpleNamespace(optimizers=[optimiser])
    found = []
    last = module.epochs * module.steps_per_epoch - 1
    for step in (0, 1, last // 2, last):
        module.set_rate(module.variant.stage1.schedule, step, module.variant.stage1.warmup_epochs)
        found.append(optimiser.param_groups[0]["lr"])
    return found
