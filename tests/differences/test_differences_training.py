"""Where sm3kit differs from both: training."""

import copy
import math

import pytest
import torch
from differences_page import BOTH, ROWS, row, sentence
from row_settings import recipe
from small_networks import EXACT, TEMPERATURE, contrast
from tiny_networks import (
    COUNT,
    MODALITIES,
    TRAINING,
    WIDTH,
    batch,
    counts,
    last_batch,
    rates,
    rates_over,
    same_weights,
    streams,
    table,
    training,
)
from torch import nn
from torch.nn import functional as F

from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.nn.label_heads import label_loss
from sm3kit.nn.pairs.contrastive import pairwise_ntx
from sm3kit.nn.precision import full_precision
from sm3kit.objectives.byol import BYOL
from sm3kit.objectives.swav import SwAV


def contrast_of_strangers(one, other, group):
    """The reference's NT-Xent, where rows of one group are no negatives of each other."""
    if group is None:
        return contrast(one, other)
    rows, count = F.normalize(torch.cat([one, other]), dim=1), len(one)
    similar, codes, losses = rows @ rows.T / TEMPERATURE, torch.cat([group, group]), []
    for anchor in range(2 * count):
        partner = (anchor + count) % (2 * count)
        against = codes != codes[anchor]
        against[partner] = True
        losses.append(similar[anchor, against].logsumexp(0) - similar[anchor, partner])
    return torch.stack(losses).mean()


@row(BOTH, "Images of one patient or lesion", "not negatives in `simclr`, `dcl` and `crossmodal`")
def test_images_of_one_patient_are_no_negatives():
    given, group = streams(), torch.tensor([7, 7, 1, 2, 3, 4, 5, 6])
    for name, masked in (("sm3", group), ("release", None), ("paper", None)):
        # Shards and anchors are about other rows.
        plain = {"simclr": {"shards": 1, "anchors": "all"}}
        plain["crossmodal"] = {"shards": 1, "pairing": "aligned"}
        parts = training(name, options=plain).parts
        (term,) = parts.crossings["crossmodal"](given, group=group).values()
        pairs = list(zip(*given.values(), strict=True))
        wanted = torch.stack([contrast_of_strangers(a, b, masked) for a, b in pairs]).mean()
        torch.testing.assert_close(term, wanted, **EXACT)
        objective = parts.objectives["simclr"]["derm"].double()
        projected = objective.head(torch.cat(given["derm"])).chunk(2)
        loss = objective(given["derm"], group=group)["loss"]
        torch.testing.assert_close(loss, contrast_of_strangers(*projected, masked), **EXACT)


@row(BOTH, "Learning rate", "constant; cosine decay to zero in `quick`")
def test_the_learning_rate_is_constant():
    for name in ("sm3", "release", "paper"):
        assert rates_over(name) == [recipe(name).stage1.lr] * 4
    first, early, middle, last = rates_over("quick")
    module = training("quick")
    final = module.epochs * module.steps_per_epoch - 1
    assert first == recipe("quick").stage1.lr
    assert early == pytest.approx(first * (1 + math.cos(math.pi / final)) / 2)
    assert middle == pytest.approx(first * (1 + math.cos(math.pi * (final // 2) / final)) / 2)
    assert last == 0


@row(BOTH, "Losses", "always in float32")
@pytest.mark.parametrize("objective", ["simclr", "byol", "swav"])
def test_losses_are_computed_in_float32(objective):
    module = training(objective=(objective,), fusion="sep_sep")
    seen = set()

    def look(network, given):
        features = given[0].values() if isinstance(given[0], dict) else [given[0]]
        kinds = {view.dtype for views in features for view in views}
        seen.add((torch.is_autocast_enabled("cpu"), *kinds))

    for one in [*module.parts.objectives[objective].values(), *module.parts.crossings.values()]:
        one.register_forward_pre_hook(look)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = module.training_step(batch(), 0)
    assert seen == {(False, torch.float32)}
    assert loss.dtype == torch.float32


def test_losses_of_halved_numbers_are_computed_in_float32():
    rows = [table(seed=seed, kind=torch.float32).bfloat16() for seed in (0, 1)]
    whole = [one.float() for one in rows]
    assert torch.equal(pairwise_ntx(*rows, 0.1), pairwise_ntx(*whole, 0.1))
    targets = torch.zeros(COUNT, 2, dtype=torch.long)
    assert torch.equal(label_loss(rows, targets)[0], label_loss(whole, targets)[0])
    assert full_precision(rows[0]).dtype == torch.float32


@row(BOTH, "SwAV's prototypes", "60")
def test_swav_has_sixty_prototypes():
    for objective in training("swav").parts.objectives["swav"].values():
        assert objective.prototypes(torch.zeros(1, 128)).shape == (1, 60)


def takes_the_queue(count, progress):
    """Whether the queue of the default changes the loss of a batch."""
    objective = SwAV(WIDTH)
    objective.before_step(progress)
    objective([table(count, seed=seed, kind=torch.float32) for seed in (0, 1)])
    without = copy.deepcopy(objective)
    without.filled.zero_()
    given = [table(count, seed=seed, kind=torch.float32) for seed in (2, 3)]
    losses = [one(given)["loss"].item() for one in (objective, without)]
    return losses[0] != losses[1]


@row(
    BOTH,
    "SwAV's queue",
    "96 rows, after a tenth of the training; from the start for a batch with fewer rows than "
    "prototypes",
)
def test_the_queue_of_swav():
    objective = training("swav").parts.objectives["swav"]["derm"]
    for seed in range(3):
        objective([table(64, seed=seed, kind=torch.float32)] * 2)
    assert int(objective.filled) == objective.queued.shape[1] == 96
    assert [takes_the_queue(60, progress) for progress in (0, 0.099, 0.1, 1)] == [
        False,
        False,
        True,
        True,
    ]
    assert takes_the_queue(59, 0)
    # The last batch of Derm7pt is such a one.
    assert last_batch("sm3") < 60


@row(BOTH, "Batch norm in BYOL and SwAV", "backbones and heads treat each view as a separate batch")
@pytest.mark.parametrize("name", ["byol", "swav"])
def test_each_view_is_a_batch_in_byol_and_swav(name):
    module = training(name)
    module.training_step(batch(), 0)
    for modality in MODALITIES:
        assert counts(module.parts.branches.backbones[modality]) == {2}
        assert counts(module.parts.objectives[name][modality]) == {2}


@row(
    BOTH,
    "Learning rate of new layers in the rows BYOL and SwAV",
    "1e-3, that of the backbones 1e-6",
)
@pytest.mark.parametrize("name", ["byol", "swav"])
def test_learning_rates_of_byol_and_swav(name):
    module = training(name)
    found = rates(module)
    assert set(found) == {1e-3, 1e-6}
    assert same_weights(found[1e-6], module.networks["backbones"].parameters())
    assert set(rates(training(name, stage1={"head_lr": 0}))) == {1e-6}
    steps = (
        len(EpochBatches(TRAINING, module.variant.stage1.batch_size, 0))
        * module.variant.stage1.epochs
    )
    assert (
        f"{steps:,} steps of {module.variant.stage1.lr:.0e}".replace("e-06", "e-6")
        in (ROWS[BOTH, "Learning rate of new layers in the rows BYOL and SwAV"]["why"])
    )


@row(BOTH, "BYOL's momentum", "starts at 0.99")
def test_the_momentum_of_byol_starts_lower():
    objective = training("byol").parts.objectives["byol"]["derm"]
    assert isinstance(objective, BYOL)
    for progress, momentum in ((0.0, 0.99), (1.0, 1.0)):
        encoder, target = nn.Linear(2, 2), nn.Linear(2, 2)
        before = target.weight.detach().clone()
        objective.update_target(encoder, target, progress)
        wanted = momentum * before + (1 - momentum) * encoder.weight
        torch.testing.assert_close(target.weight, wanted)


@sentence(BOTH, "The default seed is 0; the code and the recipe `release` use 3407")
def test_seeds():
    assert (recipe().seed, recipe("sm3").seed, recipe("release").seed) == (0, 0, 3407)
