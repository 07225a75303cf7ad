"""The objectives within one modality, against their formulas."""

import copy

import pytest
import torch
from lightly.loss import NTXentLoss, SwaVLoss
from torch import nn
from torch.nn import functional as F

from sm3kit.objectives.byol import BYOL
from sm3kit.objectives.simclr import SimCLR
from sm3kit.objectives.swav import SwAV

CLOSE = {"rtol": 1e-6, "atol": 1e-6}  # float32
WIDTH = 6


def views(count=2, rows=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, WIDTH, generator=generator) for _ in range(count)]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


# SimCLR


@pytest.mark.parametrize("head", ["sm3", "simclr"])
def test_simclr_is_the_loss_of_lightly_on_its_projections(head):
    objective = SimCLR(WIDTH, head=head, projection=4)
    one, other = views()
    projected = objective.head(torch.cat([one, other])).chunk(2)
    expected = NTXentLoss(0.1)(*projected)
    torch.testing.assert_close(objective([one, other])["loss"], expected, **CLOSE)


def test_simclr_has_the_released_projector():
    shapes = [tuple(parameter.shape) for parameter in SimCLR(WIDTH).parameters()]
    assert shapes == [(6, 6), (6,), (6,), (6, 6), (6,), (6,), (128, 6)]
    assert SimCLR(WIDTH, hidden=9).head.layers[0].out_features == 9


def test_simclr_heads_see_all_views_as_one_batch():
    objective = SimCLR(WIDTH)
    objective(views())
    assert objective.head.layers[1].num_batches_tracked == 1


def test_simclr_of_three_views_is_the_mean_over_pairs():
    objective = SimCLR(WIDTH, projection=4)
    given = views(3)
    one, two, three = objective.head(torch.cat(given)).chunk(3)
    contrast = NTXentLoss(0.1)
    expected = (contrast(one, two) + contrast(one, three) + contrast(two, three)) / 3
    torch.testing.assert_close(objective(given)["loss"], expected, **CLOSE)


def test_simclr_in_shards_compares_within_halves():
    objective = SimCLR(WIDTH, projection=4, shards=2)
    given = views()
    one, other = objective.head(torch.cat(given)).chunk(2)
    contrast = NTXentLoss(0.1)
    expected = (contrast(one[:4], other[:4]) + contrast(one[4:], other[4:])) / 2
    torch.testing.assert_close(objective(given)["loss"], expected, **CLOSE)


@pytest.mark.parametrize(("rows", "shards"), [(3, 2), (2, 2), (5, 4), (2, 9)])
def test_simclr_shards_of_one_row_have_nothing_to_tell_apart(rows, shards):
    """A short last batch is cut too; a row alone has the loss zero."""
    objective = SimCLR(WIDTH, projection=4, shards=shards)
    loss = objective(views(rows=rows))["loss"]
    loss.backward()
    assert loss.isfinite()
    if rows <= shards:
        assert loss.item() == pytest.approx(0, abs=1e-6)


def test_simclr_takes_images_of_one_patient_for_no_negatives():
    """Images 0 and 1 are of one patient: their views are no negatives of each other."""
    objective = SimCLR(WIDTH, projection=4).eval()
    given, group = views(), torch.tensor([7, 7, 1, 2, 3, 4, 5, 6])
    found = objective(given, group=group)["loss"]
    one, other = F.normalize(objective.head(torch.cat(given)), dim=1).chunk(2)
    rows = torch.cat([one, other])
    similar = (rows @ rows.T / 0.1).exp()
    patient = torch.cat([group, group])
    losses = []
    for anchor in range(16):
        partner = (anchor + 8) % 16
        others = similar[anchor][patient != patient[anchor]].sum()
        losses.append(-(similar[anchor, partner] / (similar[anchor, partner] + others)).log())
    torch.testing.assert_close(found, torch.stack(losses).mean(), **CLOSE)
    assert not torch.allclose(found, objective(given)["loss"])


def test_simclr_without_masks_or_with_single_images_is_that_of_lightly():
    given, group = views(), torch.tensor([7, 7, 1, 2, 3, 4, 5, 6])
    objective = SimCLR(WIDTH, projection=4, mask_groups=False).eval()
    plain = objective(given)["loss"]
    assert torch.equal(objective(given, group=group)["loss"], plain)
    objective.mask_groups = True
    assert torch.equal(objective(given, group=torch.arange(8))["loss"], plain)


def test_simclr_does_not_care_for_the_order_of_images():
    objective = SimCLR(WIDTH)
    given = views()
    order = torch.randperm(8)
    again = objective([view[order] for view in given])["loss"]
    torch.testing.assert_close(again, objective(given)["loss"], rtol=1e-5, atol=1e-5)


# BYOL


def byol(**options):
    return BYOL(WIDTH, **{"projection": 4, "hidden": 7, **options})


def test_byol_is_two_minus_two_cos_in_both_orders():
    objective = byol()
    fast, slow = views(), views(seed=1)
    predicted = [objective.predictor(objective.projector(view)) for view in fast]
    wanted = [objective.target_projector(view) for view in slow]
    expected = sum(
        (2 - 2 * F.cosine_similarity(predicted[one], wanted[1 - one])).mean() for one in (0, 1)
    )
    torch.testing.assert_close(objective(fast, slow)["loss"], expected, **CLOSE)


def test_byol_is_between_zero_and_eight():
    objective = byol()
    objective.predictor = objective.projector = nn.Identity()
    objective.target_projector = nn.Identity()
    one, other = views()
    assert objective([one, one], [one, one])["loss"].item() == pytest.approx(0, abs=1e-5)
    assert objective([one, one], [-one, -one])["loss"].item() == pytest.approx(8, abs=1e-5)


def test_byol_of_more_views_keeps_the_scale():
    objective = byol()
    objective.predictor = objective.projector = nn.Identity()
    objective.target_projector = nn.Identity()
    one, _ = views()
    assert objective([one] * 3, [-one] * 3)["loss"].item() == pytest.approx(8, abs=1e-5)


def test_byol_gives_the_target_no_gradient():
    objective = byol()
    fast = [view.requires_grad_() for view in views()]
    slow = [view.requires_grad_() for view in views(seed=1)]
    objective(fast, slow)["loss"].backward()
    assert all(view.grad is None for view in slow)
    assert all(view.grad.abs().sum() > 0 for view in fast)
    assert all(one.grad is None for one in objective.target_projector.parameters())
    assert not any(one.requires_grad for one in objective.target_projector.parameters())
    assert all(one.grad is not None for one in objective.predictor.parameters())


def test_byol_begins_with_equal_projectors():
    objective = byol()
    for one, other in zip(
        objective.projector.parameters(), objective.target_projector.parameters(), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("progress", "momentum"), [(0.0, 0.9), (0.5, 0.95), (1.0, 1.0)])
def test_byol_moves_the_target_by_the_momentum(progress, momentum):
    """From the given momentum by half a cosine to one, where the target stands still."""
    objective = byol(momentum=0.9)
    encoder, target = nn.Linear(3, 3), nn.Linear(3, 3)
    nn.init.normal_(objective.projector.layers[0].weight)
    pairs = [(encoder.weight, target.weight), (encoder.bias, target.bias)]
    pairs += list(
        zip(objective.projector.parameters(), objective.target_projector.parameters(), strict=True)
    )
    before = [(fast.detach().clone(), slow.detach().clone()) for fast, slow in pairs]
    objective.update_target(encoder, target, progress)
    for (fast, slow), (fast_was, slow_was) in zip(pairs, before, strict=True):
        assert torch.equal(fast, fast_was)
        # The cosine has 10,000 steps, so the middle is off by up to 2e-5.
        expected = momentum * slow_was + (1 - momentum) * fast_was
        torch.testing.assert_close(slow.detach(), expected, rtol=1e-4, atol=1e-5)


def test_byol_asks_for_an_ema_encoder():
    assert BYOL.wants_target
    assert byol().momentum == 0.99


# SwAV


def swav(**options):
    return SwAV(WIDTH, **{"projection": 4, "prototypes": 5, **options})


def scores_of(objective, given):
    """Scores [(B, C)] * V, each view a batch of its own."""
    return [objective.prototypes(F.normalize(objective.projector(v), dim=1)) for v in given]


def lengths(objective):
    return objective.prototypes.heads[0].weight.norm(dim=1)


def test_swav_is_the_loss_of_lightly_on_its_scores():
    objective = swav()
    given = views()
    scores = scores_of(objective, given)
    expected = SwaVLoss(0.1, 3, 0.05)(scores, [])
    torch.testing.assert_close(objective(given)["loss"], expected.squeeze(), **CLOSE)
    assert objective(given)["loss"].shape == ()


def test_swav_prototypes_are_of_unit_length_before_a_step():
    objective = swav()
    assert (lengths(objective) - 1).abs().max() > 0.01
    objective.before_step(0.5)
    torch.testing.assert_close(lengths(objective), torch.ones(5), **CLOSE)
    with torch.no_grad():
        objective.prototypes.heads[0].weight.mul_(3)
    objective.before_step(0.6)
    torch.testing.assert_close(lengths(objective), torch.ones(5), **CLOSE)


@pytest.mark.parametrize(
    ("progress", "freeze", "moves"),
    [
        (0.0, 0.01, False),
        (0.009, 0.01, False),
        (0.01, 0.01, True),
        (1.0, 0.01, True),
        (0.0, 0.0, True),
    ],
)
def test_swav_prototypes_are_frozen_in_the_beginning(progress, freeze, moves):
    objective = swav(freeze=freeze)
    objective.before_step(progress)
    objective(views())["loss"].backward()
    grown = [parameter.grad is not None for parameter in objective.prototypes.parameters()]
    assert grown == [moves]
    assert all(parameter.grad is not None for parameter in objective.projector.parameters())


def test_a_frozen_prototype_does_not_move():
    objective = swav(freeze=0.5)
    optimiser = torch.optim.AdamW(objective.parameters(), lr=0.1, weight_decay=0.1)
    objective.before_step(0.0)
    before = copy.deepcopy(objective.prototypes.state_dict())
    for progress in (0.1, 0.2, 0.3):
        objective.before_step(progress)
        optimiser.zero_grad()
        objective(views())["loss"].backward()
        optimiser.step()
    for name, value in objective.prototypes.state_dict().items():
        torch.testing.assert_close(value, before[name], **CLOSE)
    objective.before_step(0.6)
    objective(views())["loss"].backward()
    optimiser.step()
    assert not torch.equal(objective.prototypes.heads[0].weight, before["heads.0.weight"])


def test_the_queue_of_swav_fills_newest_first():
    objective = swav(queue=20)
    assert (objective.queued.shape, int(objective.filled)) == ((2, 20, 4), 0)
    kept = []
    for step, filled in enumerate((8, 16, 20, 20)):
        given = views(seed=step)
        copied = copy.deepcopy(objective.projector)
        kept.insert(0, [F.normalize(copied(view), dim=1).detach() for view in given])
        objective(given)
        assert int(objective.filled) == filled
        for view in (0, 1):
            rows = torch.cat([one[view] for one in kept])[:filled]
            torch.testing.assert_close(objective.queued[view, :filled], rows, **CLOSE)
            assert (objective.queued[view, filled:] == 0).all()


def test_the_queue_of_swav_joins_the_assignment_after_its_start():
    objective, plain = swav(queue=16, queue_start=0.5), swav(queue=0)
    plain.load_state_dict(
        {
            name: one
            for name, one in objective.state_dict().items()
            if name not in ("queued", "filled")
        },
        strict=False,
    )
    objective(views(seed=1)), plain(views(seed=1))
    for each in (objective, plain):
        each.before_step(0.4)
    given = views()
    torch.testing.assert_close(objective(given)["loss"], plain(given)["loss"], **CLOSE)
    for each in (objective, plain):
        each.before_step(0.5)
    scores = [objective.prototypes(view[: int(objective.filled)]) for view in objective.queued]
    own = scores_of(copy.deepcopy(objective), given)
    expected = SwaVLoss(0.1, 3, 0.05)(own, [], scores)
    found = objective(given)["loss"]
    torch.testing.assert_close(found, expected.squeeze(), rtol=1e-5, atol=1e-5)
    assert abs(found - plain(given)["loss"]) > 1e-4


def test_the_queue_of_swav_is_part_of_the_state():
    objective, again = swav(queue=12), swav(queue=12)
    objective(views())
    assert {"queued", "filled"} <= set(objective.state_dict())
    again.load_state_dict(objective.state_dict())
    assert torch.equal(again.queued, objective.queued)
    assert int(again.filled) == 8
    assert not objective.queued.requires_grad


def test_the_queue_of_swav_stands_still_without_training():
    objective = swav(queue=12).eval()
    objective(views())
    assert int(objective.filled) == 0


def test_swav_without_queue_keeps_nothing():
    objective = swav(queue=0)
    objective(views())
    assert objective.queued.shape == (2, 0, 4)


def test_more_views_of_swav_predict_only():
    objective = swav()
    given = views(4)
    scores = scores_of(objective, given)
    expected = SwaVLoss(0.1, 3, 0.05)(scores[:2], scores[2:])
    torch.testing.assert_close(objective(given)["loss"], expected.squeeze(), **CLOSE)


def official_swav(scores, temperature=0.1, epsilon=0.05, iterations=3):
    """The loss of the official main_swav.py: crops 0 and 1 are assigned, all others predict."""
    total = 0.0
    for assigned in (0, 1):
        with torch.no_grad():
            table = torch.exp(scores[assigned] / epsilon).T
            table = table / table.sum()
            prototypes, rows = table.shape
            for _ in range(iterations):
                table = table / table.sum(dim=1, keepdim=True) / prototypes
                table = table / table.sum(dim=0, keepdim=True) / rows
            code = (table * rows).T
        others = [number for number in range(len(scores)) if number != assigned]
        loss = 0.0
        for number in others:
            log = F.log_softmax(scores[number] / temperature, dim=1)
            loss -= (code * log).sum(dim=1).mean()
        total += loss / len(others)
    return total / 2


@pytest.mark.parametrize("local", [0, 1, 6])
@pytest.mark.parametrize("join_views", [False, True])
def test_swav_over_crops_is_the_loss_of_the_official_code(local, join_views):
    assert SwAV.wants_local
    objective = swav(join_views=join_views)
    given = views(2 + local)
    scores = scores_of(copy.deepcopy(objective), given)
    if join_views:
        rows = F.normalize(copy.deepcopy(objective).projector(torch.cat(given)), dim=1)
        scores = objective.prototypes(rows).chunk(len(given))
    found = objective(given)["loss"]
    torch.testing.assert_close(found, official_swav(scores), rtol=1e-5, atol=1e-5)
    seen = objective.projector.layers[1].num_batches_tracked
    assert seen == (1 if join_views else len(given))
    assert int(objective.filled) == 8  # The queue keeps rows of the two global views alone.
