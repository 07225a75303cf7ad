"""Stage 1: where paper and code disagree."""

import copy
import math
import re

import pytest
import torch
import torchvision
from differences_page import PROSE, ROWS, SAID, STAGE_1, row, sentence
from row_settings import recipe
from small_networks import EXACT, contrast
from tiny_networks import (
    COUNT,
    MODALITIES,
    TRAINING,
    batch,
    counts,
    crossed,
    last_batch,
    streams,
    table,
    training,
)
from tiny_pictures import grey_share, photo, views_of
from torch import nn

from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.datasets import derm7pt, milk10k
from sm3kit.networks.backbone import build_backbone
from sm3kit.nn.pairs.contrastive import in_shards
from sm3kit.training import hardware
from sm3kit.training.optimising.optimisers import WeightGroup
from sm3kit.training.optimising.optimisers import optimiser as make_optimiser


@row(STAGE_1, "Anchors in eq. 1", "like the code")
@pytest.mark.parametrize(("name", "anchors"), [("sm3", "all"), ("paper", "first")])
def test_anchors_of_equation_1(name, anchors):
    objective = training(name).parts.objectives["simclr"]["derm"].double()
    views = [table(seed=0), table(seed=1)]
    projected = objective.head(torch.cat(views)).chunk(2)
    torch.testing.assert_close(objective(views)["loss"], contrast(*projected, anchors), **EXACT)
    other = "first" if anchors == "all" else "all"
    assert abs(contrast(*projected, other) - contrast(*projected, anchors)) > 1e-3


@row(STAGE_1, "Eq. 4, pairs", "like the code")
def test_pairs_of_equation_4():
    given = streams()
    (derm, derm2), (clinic, clinic2) = given.values()
    mean = (contrast(derm, clinic) + contrast(derm2, clinic2)) / 2
    torch.testing.assert_close(crossed("sm3", given), mean, **EXACT)
    added = contrast(derm, clinic, "first") + contrast(derm, clinic2, "first")
    torch.testing.assert_close(crossed("paper", given), added, **EXACT)


@row(STAGE_1, "Eq. 4, anchors", "like the code")
def test_anchors_of_equation_4():
    """Where both modalities are anchors, they may change places."""
    given = streams()
    swapped = dict(zip(given, reversed(given.values()), strict=True))
    torch.testing.assert_close(crossed("sm3", given), crossed("sm3", swapped), **EXACT)
    assert list(given) == ["derm", "clinic"]  # In the order of Derm7pt; the first is the anchor.
    assert abs(crossed("paper", given) - crossed("paper", swapped)) > 1e-3


@sentence(
    STAGE_1,
    "With `eq4`, the anchor is the first modality of the data, which is dermoscopy in Derm7pt and "
    "MILK10k; `-o crossmodal.anchor=NAME` chooses another",
)
def test_the_anchor_of_equation_4_is_the_first_modality_or_the_chosen_one():
    assert derm7pt.MODALITIES[0] == next(iter(milk10k.IMAGE_TYPES.values())) == "derm"
    given = streams()
    swapped = dict(zip(given, reversed(given.values()), strict=True))
    derm, clinic = (
        training("paper", options={"crossmodal": {"anchor": name}}).parts.crossings["crossmodal"]
        for name in MODALITIES
    )
    for objective, wanted in ((derm, given), (clinic, swapped)):
        (term,) = objective(given).values()
        torch.testing.assert_close(term, crossed("paper", wanted), **EXACT)


@sentence(
    STAGE_1,
    "the second dermoscopic view is never used",
    "in both directions and takes the mean",
    "the printed loss is about twice as large, and asymmetric",
)
def test_the_printed_equation_4_is_twice_as_large_and_lopsided():
    given = streams(96)
    for view in (view for views in given.values() for view in views):
        view.requires_grad_()
    crossed("paper", given).backward()
    used = [view.grad is not None for views in given.values() for view in views]
    assert used == [True, False, True, True]
    # Losses of unrelated views are all alike, but for a few percent.
    assert crossed("paper", given).item() / crossed("sm3", given).item() == pytest.approx(2, 0.05)


@row(STAGE_1, "Weight decay", "0.05")
@row(STAGE_1, "AdamW's eps", "1e-5")
@pytest.mark.parametrize("what", ["Weight decay", "AdamW's eps"])
def test_weight_decay_and_eps_of_stage_1_reach_the_optimiser(what):
    option = {"Weight decay": "weight_decay", "AdamW's eps": "eps"}[what]
    for name in ("sm3", "release"):
        groups = training(name).configure_optimizers().param_groups
        assert {one[option] for one in groups} == {float(SAID[STAGE_1, what])}


@row(STAGE_1, "Greyscale views", "0.2")
def test_a_fifth_of_the_views_is_grey():
    # Four deviations of the share among 1000 views: 4 * sqrt(0.2 * 0.8 / 1000).
    still = {"jitter": 0.0, "blur": 0.0}
    assert grey_share(views_of(photo("sm3", **still), 500)) == pytest.approx(0.2, abs=0.05)
    assert grey_share(views_of(photo("release", **still), 500)) == pytest.approx(0.2, abs=0.05)
    assert grey_share(views_of(photo("paper", **still), 500)) == 0


@row(STAGE_1, "Batch norm of the backbones", "like the code")
@sentence(
    STAGE_1,
    "its batch norm uses the 96 images of one view at a time and updates its running "
    "statistics twice per step",
    "then statistics, loss and gradients are those of 192 images",
)
def test_each_view_is_a_batch_of_the_backbone():
    assert recipe("sm3").stage1.batch_size == 96
    for joined, sizes in ((False, [96] * 4), (True, [192] * 2)):
        module, seen = training("sm3", stage1={"join_views": joined}), []

        def look(network, given, seen=seen):
            seen.append(len(given[0]))

        for network in module.parts.branches.backbones.values():
            network.layers[1].register_forward_pre_hook(look)
        module.training_step(batch(96), 0)
        assert seen == sizes
        for network in module.parts.branches.backbones.values():
            assert counts(network) == ({1} if joined else {2})


@row(STAGE_1, "Batch norm of the projectors", "like the code")
@pytest.mark.parametrize("fusion", ["none", "concat", "sum", "sep_sep", "sep_shared"])
def test_views_are_one_batch_of_the_projectors_or_one_each(fusion):
    module = training(fusion=fusion)
    module.training_step(batch(), 0)
    for objective in module.parts.objectives["simclr"].values():
        assert counts(objective) == {1}
    # A shared projector is called for two views of two modalities.
    calls = {"concat": {1}, "sum": {1}, "sep_sep": {2}, "sep_shared": {4}}
    assert counts(module.parts.branches.fusion) == calls.get(fusion, set())


@row(STAGE_1, "Negatives", "the batch of 96")
@sentence(STAGE_1, "`shards=2` emulates this on one device")
def test_negatives_are_the_batch_or_its_halves():
    assert [recipe(name).stage1.batch_size for name in ("sm3", "release")] == [96, 96]
    assert [len(range(96)[half]) for half in in_shards(96, 2)] == [48, 48]
    given = streams()
    halves = [slice(0, COUNT // 2), slice(COUNT // 2, COUNT)]
    for name, parts in (("sm3", [slice(None)]), ("release", halves)):
        pairs = list(zip(*given.values(), strict=True))
        wanted = torch.stack([contrast(a[part], b[part]) for a, b in pairs for part in parts])
        torch.testing.assert_close(crossed(name, given), wanted.mean(), **EXACT)
        objective = training(name).parts.objectives["simclr"]["derm"].double()
        # Batch norm sees the whole batch.
        projected = copy.deepcopy(objective).head(torch.cat(given["derm"])).chunk(2)
        wanted = torch.stack([contrast(*(view[part] for view in projected)) for part in parts])
        torch.testing.assert_close(objective(given["derm"])["loss"], wanted.mean(), **EXACT)
        assert counts(objective) == {1}


@row(STAGE_1, "Last batch", "not padded")
@sentence(STAGE_1, "The last batch of 413 studies is padded to 30, so that both halves have 15")
def test_the_last_batch():
    assert TRAINING == 413
    assert last_batch("sm3") == last_batch("paper") == 413 % 96 == 29
    assert last_batch("release") == 30
    assert [len(range(30)[half]) for half in in_shards(30, 2)] == [15, 15]


@row(
    STAGE_1,
    "Initialisation without weights",
    "torchvision's, if it has the network or one of its family",
)
def test_networks_without_weights_start_as_those_of_torchvision():
    theirs = dict(torchvision.models.resnet18().named_parameters())
    variant = recipe("sm3", backbone="timm/resnet18", weights="none")
    for name, weight in build_backbone(variant, "derm", 3).model.named_parameters():
        near, far = (one.detach().std(correction=0) for one in (weight, theirs[name]))
        # The deviation of n values scatters by 1 / sqrt(2 n); five times that for both.
        assert near == far == 0 or abs(math.log(near / far)) < 5 / math.sqrt(weight.numel())
        assert near or torch.equal(weight, theirs[name])
    own = variant.changed({"options": {"timm": {"start": "timm"}}}, "test")
    assert not build_backbone(own, "derm", 3).model.layer1[0].bn2.weight.any()


@row(
    STAGE_1,
    "Precision",
    "bf16 where the hardware supports it, except for depthwise networks on a CPU",
)
def test_precision_of_stage_1(monkeypatch):
    network, wanted = nn.Linear(2, 2), recipe("sm3").stage1.precision
    depthwise, fp16 = nn.Conv2d(4, 4, 3, groups=4), recipe("release").stage1.precision
    assert "acts as `auto` on a CPU" in ROWS[STAGE_1, "Precision"]["how to change it"]
    assert (wanted, fp16) == ("auto", "16-mixed")
    for has_gpu, has_bf16, found in (
        (True, True, "bf16-mixed"),
        (True, False, "16-mixed"),
        (False, True, "bf16-mixed"),
        (False, False, "32-true"),
    ):
        monkeypatch.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has_bf16, **_: has)
        monkeypatch.setattr(hardware, "cpu_has_bf16", lambda has_bf16=has_bf16: has_bf16)
        assert hardware.resolved_precision(wanted, network) == found
        on_cpu = "32-true"
        assert hardware.resolved_precision(wanted, depthwise) == (found if has_gpu else on_cpu)
        assert hardware.resolved_precision(fp16, network) == (fp16 if has_gpu else found)


@sentence(STAGE_1, "Four of these need an explanation")
def test_the_words_of_stage_1():
    assert re.findall(r"\*\*(.+?)\.\*\*", PROSE[STAGE_1]) == [
        "Eq. 4",
        "48 studies per GPU",
        "One batch per view",
        "The size of a step",
    ]


@sentence(
    STAGE_1,
    "With AdamW at 1e-6 and 400 epochs of five steps, no weight changes by more than about 0.002",
)
def test_no_weight_moves_by_more_than_two_thousandths():
    variant = recipe("sm3")
    steps = len(EpochBatches(TRAINING, variant.stage1.batch_size, 0))
    assert (variant.stage1.lr, steps, variant.stage1.epochs) == (1e-6, 5, 400)
    # Gradients that never change, noise of two sizes, noise around something, and a fading one.
    count = steps * variant.stage1.epochs
    noise = table(count, 3).T
    fading = 0.99 ** torch.arange(count).double()
    gradients = [torch.ones(count), noise[0], 1e-4 * noise[1], 1 + noise[2], fading]
    weight = nn.Parameter(0.05 * table(1, 5, seed=1)[0])
    before = weight.detach().clone()
    optimiser = make_optimiser(
        "adamw",
        [WeightGroup(variant.stage1.lr, [weight])],
        variant.stage1.betas,
        variant.stage1.eps,
        variant.stage1.weight_decay,
    )
    for gradient in torch.stack(gradients, dim=1).double():
        weight.grad = gradient
        optimiser.step()
    moved = (weight.detach() - before).abs()
    # Weight decay adds one part in ten thousand of the weight itself.
    assert moved.max() < 0.00201
    assert moved[0] > 0.0019
