"""Contrasts of two sets: lightly's, by hand, by brute force, with masks, over processes."""

import math
from itertools import product

import pytest
import torch
import torch.distributed as dist
from lightly.loss import DCLLoss, NTXentLoss
from lightly.loss.dcl_loss import DCLWLoss
from torch.nn import functional as F
from warm_processes import CONTEXT

from sm3kit.nn.pairs.contrastive import (
    in_shards,
    pairwise_clip,
    pairwise_dcl,
    pairwise_ntx,
)
from sm3kit.nn.pairs.ntx import ntx, without
from sm3kit.nn.processes import gather_rows

# The loss is computed in float32: a few units in the last place of values of about 5.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}
# Two pairs of unit vectors whose similarities are all 0 or 1.
A = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
B = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
E = math.e


def rows(count, width=5, seed=0):
    return torch.randn(2, count, width, generator=torch.Generator().manual_seed(seed))


def by_hand(a, b, temperature, present=None, group=None, symmetric=True):
    """The docstring's formula, anchor by anchor, in float64."""
    count = len(a)
    present = [True] * count if present is None else present.tolist()
    group = list(range(count)) if group is None else group.tolist()
    sets = [F.normalize(each.double(), dim=1) for each in (a, b)]
    losses = []
    for own, other in [(0, 1), (1, 0)] if symmetric else [(0, 1)]:
        for i in range(count):
            if not present[i]:
                continue
            s = [
                [float(sets[own][i] @ sets[of][j]) / temperature for j in range(count)]
                for of in (own, other)
            ]
            positive = math.exp(s[1][i])
            negative = sum(
                math.exp(s[0][j]) + math.exp(s[1][j])
                for j in range(count)
                if j != i and present[j] and group[j] != group[i]
            )
            losses.append(-math.log(positive / (positive + negative)))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize(
    ("count", "temperature"), list(product([2, 3, 8, 33], [0.07, 0.1, 0.5, 1.0]))
)
def test_it_is_the_loss_of_lightly(count, temperature):
    a, b = rows(count)
    expected = NTXentLoss(temperature)(a, b)
    torch.testing.assert_close(pairwise_ntx(a, b, temperature), expected, **CLOSE)


def test_the_gradient_is_that_of_lightly():
    a, b = (each.clone().requires_grad_() for each in rows(6))
    ours = torch.autograd.grad(pairwise_ntx(a, b, 0.1), (a, b))
    theirs = torch.autograd.grad(NTXentLoss(0.1)(a, b), (a, b))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_two_pairs_by_hand():
    # a1 sees its partner at 0 and two negatives at 0; a2 its partner at 1, negatives at 1 and 0.
    one_way = (math.log(3) + math.log(2 + 1 / E)) / 2
    # b1 sees its partner at 0, both negatives at 1; b2 its partner at 1, negatives at 0 and 1.
    back = (math.log(1 + 2 * E) + math.log(2 + 1 / E)) / 2
    assert float(pairwise_ntx(A, B, 1.0, symmetric=False)) == pytest.approx(one_way, abs=1e-6)
    assert float(pairwise_ntx(B, A, 1.0, symmetric=False)) == pytest.approx(back, abs=1e-6)
    assert float(pairwise_ntx(A, B, 1.0)) == pytest.approx((one_way + back) / 2, abs=1e-6)
    # Partners that are equal, and others at a right angle, with t = 1/2.
    assert float(pairwise_ntx(A, A, 0.5)) == pytest.approx(math.log(1 + 2 / E**2), abs=1e-6)


def test_both_directions_are_the_mean_of_each():
    a, b = rows(7)
    there = pairwise_ntx(a, b, 0.2, symmetric=False)
    back = pairwise_ntx(b, a, 0.2, symmetric=False)
    torch.testing.assert_close(pairwise_ntx(a, b, 0.2), (there + back) / 2, **CLOSE)
    torch.testing.assert_close(pairwise_ntx(a, b, 0.2), pairwise_ntx(b, a, 0.2), **CLOSE)


@pytest.mark.parametrize("symmetric", [True, False])
def test_one_pair_has_nothing_to_tell_apart(symmetric):
    a, b = (each.clone().requires_grad_() for each in rows(1))
    loss = pairwise_ntx(a, b, 0.1, symmetric=symmetric)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert a.grad.abs().max() < 1e-6
    assert b.grad.isfinite().all()


@pytest.mark.parametrize(("symmetric", "seed"), list(product([True, False], range(4))))
def test_any_masks_equal_the_formula(symmetric, seed):
    a, b = rows(9, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(9, generator=generator) > 0.3
    group = torch.randint(0, 4, (9,), generator=generator)
    for mask, codes in product([None, present], [None, group]):
        loss = pairwise_ntx(a, b, 0.3, present=mask, group=codes, symmetric=symmetric)
        expected = by_hand(a, b, 0.3, mask, codes, symmetric)
        # float32 against float64.
        assert loss.item() == pytest.approx(expected, rel=2e-6, abs=2e-6)


@pytest.mark.parametrize("symmetric", [True, False])
def test_absent_rows_change_nothing(symmetric):
    a, b = (each.clone().requires_grad_() for each in rows(6))
    present = torch.tensor([True, False, True, True, False, True])
    group = torch.tensor([0, 0, 0, 1, 1, 2])
    masked = pairwise_ntx(a, b, 0.1, present=present, group=group, symmetric=symmetric)
    subset = pairwise_ntx(a[present], b[present], 0.1, group=group[present], symmetric=symmetric)
    torch.testing.assert_close(masked, subset, **CLOSE)
    gradients = torch.autograd.grad(masked, (a, b))
    for gradient in gradients:
        assert (gradient[~present] == 0).all()
        assert (gradient[present] != 0).any()
    # Whatever absent rows hold, the loss is the same.
    for filling in (0.0, 1e6):
        other = a.detach().clone()
        other[~present] = filling
        again = pairwise_ntx(other, b, 0.1, present=present, group=group, symmetric=symmetric)
        torch.testing.assert_close(again, masked, **CLOSE)


@pytest.mark.parametrize("symmetric", [True, False])
def test_all_absent_is_zero_with_gradient(symmetric):
    a, b = (each.clone().requires_grad_() for each in rows(4))
    present = torch.zeros(4, dtype=torch.bool)
    loss = pairwise_ntx(a, b, 0.1, present=present, symmetric=symmetric)
    loss.backward()
    assert loss.item() == 0
    assert (a.grad == 0).all()
    assert (b.grad == 0).all()


def test_one_group_leaves_no_negatives():
    a, b = rows(5)
    loss = pairwise_ntx(a, b, 0.1, group=torch.zeros(5, dtype=torch.long))
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_groups_of_one_mask_nothing():
    a, b = rows(5)
    group = torch.tensor([7, 3, 9, 1, 0])
    torch.testing.assert_close(
        pairwise_ntx(a, b, 0.1, group=group), pairwise_ntx(a, b, 0.1), **CLOSE
    )


def test_the_order_of_the_pairs_does_not_matter():
    a, b = rows(8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    present = torch.arange(8) != 3
    group = torch.tensor([0, 0, 1, 2, 3, 3, 3, 4])
    loss = pairwise_ntx(a, b, 0.1, present=present, group=group)
    again = pairwise_ntx(a[order], b[order], 0.1, present=present[order], group=group[order])
    torch.testing.assert_close(again, loss, **CLOSE)


def test_the_length_of_the_rows_does_not_matter():
    a, b = rows(6)
    torch.testing.assert_close(
        pairwise_ntx(a * 100, b / 100, 0.1), pairwise_ntx(a, b, 0.1), **CLOSE
    )


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_it_is_computed_in_float32_at_least(kind):
    a, b = (each.to(kind) for each in rows(6))
    loss = pairwise_ntx(a, b, 0.1)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, pairwise_ntx(a.float(), b.float(), 0.1))
    assert pairwise_ntx(a.double(), b.double(), 0.1).dtype == torch.float64


@pytest.mark.parametrize("temperature", [0.01, 0.1])
@pytest.mark.parametrize("case", ["equal", "opposite", "zero", "random"])
def test_gradients_are_finite(case, temperature):
    a, b = rows(4)
    if case == "equal":
        a = b = torch.ones(4, 5)
    elif case == "opposite":
        b = -a
    elif case == "zero":
        a = torch.zeros(4, 5)
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    loss = pairwise_ntx(a, b, temperature, present=torch.tensor([True, True, False, True]))
    loss.backward()
    assert loss.isfinite()
    assert a.grad.isfinite().all()
    assert b.grad.isfinite().all()


def test_equal_rows_are_at_chance():
    a = torch.ones(5, 3)
    # One positive among 2 N - 1 equal rows.
    assert float(pairwise_ntx(a, a, 0.1)) == pytest.approx(math.log(9), abs=1e-6)


# Decoupled


def masks(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        "present": torch.rand(count, generator=generator) > 0.3,
        "group": torch.randint(0, 4, (count,), generator=generator),
    }


@pytest.mark.parametrize(("count", "temperature"), list(product([2, 3, 17], [0.07, 0.5])))
def test_the_decoupled_loss_is_that_of_lightly(count, temperature):
    a, b = (x.clone().requires_grad_() for x in rows(count))
    ours, theirs = pairwise_dcl(a, b, temperature), DCLLoss(temperature)(a, b)
    torch.testing.assert_close(ours, theirs, **CLOSE)
    gradients = [torch.autograd.grad(loss, (a, b)) for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:To copy construct")
@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_the_weighted_decoupled_loss_is_that_of_lightly(sigma):
    a, b = rows(9)
    expected = DCLWLoss(0.1, sigma)(a, b)
    torch.testing.assert_close(pairwise_dcl(a, b, 0.1, sigma=sigma), expected, **CLOSE)


def decoupled_by_hand(a, b, temperature, sigma, present, group):
    """The docstring's formula, anchor by anchor, in float64."""
    sets = [F.normalize(x.double(), dim=1) for x in (a, b)]
    here = [i for i in range(len(a)) if present[i]]
    like = {i: float(sets[0][i] @ sets[1][i]) for i in here}
    losses = []
    for own, i in product((0, 1), here):
        negatives = [
            math.exp(float(sets[own][i] @ rows[j]) / temperature)
            for rows in sets
            for j in here
            if group[j] != group[i]
        ]
        weight = 1.0
        if sigma:
            mean = sum(math.exp(like[j] / sigma) for j in here) / len(here)
            weight = 2 - math.exp(like[i] / sigma) / mean
        if negatives:
            losses.append(math.log(sum(negatives)) - weight * like[i] / temperature)
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize(("seed", "sigma"), list(product(range(4), [0.0, 0.3])))
def test_the_decoupled_loss_with_masks_equals_the_formula(seed, sigma):
    a, b = rows(9, seed=seed)
    hidden = masks(9, seed)
    loss = pairwise_dcl(a, b, 0.3, sigma=sigma, **hidden)
    expected = decoupled_by_hand(a, b, 0.3, sigma, **hidden)
    assert loss.item() == pytest.approx(expected, rel=2e-6, abs=2e-6)


@pytest.mark.parametrize("sigma", [0.0, 0.5])
@pytest.mark.parametrize("case", ["all absent", "one pair", "one group"])
def test_without_negatives_the_decoupled_loss_is_a_zero_with_gradient(sigma, case):
    a, b = (x.clone().requires_grad_() for x in rows(4))
    present = {"all absent": torch.zeros(4), "one pair": torch.eye(4)[0]}.get(case, torch.ones(4))
    group = torch.zeros(4, dtype=torch.long) if case == "one group" else None
    loss = pairwise_dcl(a, b, 0.1, sigma=sigma, present=present.bool(), group=group)
    loss.backward()
    assert loss.item() == 0
    assert (a.grad == 0).all()
    assert (b.grad == 0).all()


# CLIP


def test_the_contrast_of_clip_is_two_cross_entropies():
    """Figure 3 of the paper, line by line."""
    a, b = rows(7)
    logits = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.07
    labels = torch.arange(7)
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    torch.testing.assert_close(pairwise_clip(a, b, 0.07), expected, **CLOSE)
    one_way = pairwise_clip(a, b, 0.07, symmetric=False)
    torch.testing.assert_close(one_way, F.cross_entropy(logits, labels), **CLOSE)


@pytest.mark.parametrize("seed", range(3))
def test_the_contrast_of_clip_with_masks(seed):
    """Cross-entropies over the studies that are there, without others of the group."""
    a, b = rows(9, seed=seed)
    hidden = masks(9, seed)
    here, group = hidden["present"], hidden["group"][hidden["present"]]
    logits = F.normalize(a[here], dim=1) @ F.normalize(b[here], dim=1).T / 0.2
    alike = (group.unsqueeze(0) == group.unsqueeze(1)) & ~torch.eye(len(group)).bool()
    logits = logits.masked_fill(alike, -math.inf)
    labels = torch.arange(len(group))
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    torch.testing.assert_close(pairwise_clip(a, b, 0.2, **hidden), expected, **CLOSE)


@pytest.mark.parametrize("loss", [pairwise_ntx, pairwise_clip])
def test_a_temperature_may_learn(loss):
    a, b = rows(6)
    temperature = torch.tensor(0.3, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(a, b, temperature), temperature)
    step = (loss(a.double(), b.double(), 0.3001) - loss(a.double(), b.double(), 0.2999)) / 2e-4
    assert float(slope) == pytest.approx(float(step), rel=1e-3)


# Several processes


def _process(rank, folder, symmetric, queue):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    a, b = (each[rank * 3 : rank * 3 + 3].clone().requires_grad_() for each in rows(6))
    present, group = _masks()
    mine = slice(rank * 3, rank * 3 + 3)
    found = []
    for masks in ({}, {"present": present[mine], "group": group[mine]}):
        loss = pairwise_ntx(a, b, 0.2, symmetric=symmetric, gather=True, **masks)
        gradients = torch.autograd.grad(loss, (a, b))
        found.append((float(loss.detach()), [gradient.tolist() for gradient in gradients]))
    queue.put((rank, found))
    dist.destroy_process_group()


def _masks():
    return torch.tensor([True, True, False, True, True, True]), torch.tensor([0, 1, 2, 0, 3, 3])


@pytest.mark.parametrize("symmetric", [True, False])
def test_gathered_negatives_give_the_loss_of_the_joined_batch(tmp_path, symmetric):
    """Its mean over processes, and the mean of the gradients, as DDP takes it."""
    queue = CONTEXT.Queue()
    processes = [
        CONTEXT.Process(target=_process, args=(rank, tmp_path, symmetric, queue))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    found = dict(queue.get(timeout=300) for _ in processes)
    for process in processes:
        process.join(timeout=300)
        assert process.exitcode == 0
    a, b = (each.clone().requires_grad_() for each in rows(6))
    present, group = _masks()
    for number, masks in enumerate(({}, {"present": present, "group": group})):
        whole = pairwise_ntx(a, b, 0.2, symmetric=symmetric, **masks)
        gradients = torch.autograd.grad(whole, (a, b))
        losses, parts = zip(*(found[rank][number] for rank in range(2)), strict=True)
        assert sum(losses) / 2 == pytest.approx(whole.item(), rel=1e-5)
        for one, gradient in enumerate(gradients):
            joined = torch.cat([torch.tensor(parts[rank][one]) for rank in range(2)])
            # Each process holds its own rows only, and DDP divides by two.
            torch.testing.assert_close(joined / 2, gradient, rtol=1e-4, atol=1e-6)


def _shared_gradient(rank, folder, queue):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    other = torch.zeros(4, 2, requires_grad=True)
    beside = other * 1
    rows = torch.zeros(2, 2, requires_grad=True)
    (gather_rows(rows) + beside).sum().backward()
    queue.put((rank, rows.grad.tolist(), other.grad.tolist()))
    dist.destroy_process_group()


def test_gathering_adds_up_its_own_gradient_only(tmp_path):
    """A sum hands one gradient tensor to both of its terms."""
    queue = CONTEXT.Queue()
    processes = [
        CONTEXT.Process(target=_shared_gradient, args=(rank, tmp_path, queue)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        _, own, others = queue.get(timeout=300)
        assert own == [[2.0, 2.0]] * 2
        assert others == [[1.0, 1.0]] * 4
    for process in processes:
        process.join(timeout=300)


# Shards


@pytest.mark.parametrize(
    ("count", "shards", "lengths"),
    [
        (6, 1, [6]),
        (6, 2, [3, 3]),
        (7, 2, [4, 3]),
        (8, 3, [3, 3, 2]),
        (2, 3, [1, 1]),
        (0, 2, []),
    ],
)
def test_shards_cut_every_row_once(count, shards, lengths):
    parts = [list(range(count))[part] for part in in_shards(count, shards)]
    assert [len(part) for part in parts] == lengths
    assert [row for part in parts for row in part] == list(range(count))


@pytest.mark.parametrize("count", [2, 5, 33])
def test_unmasked_ntx_is_lightly_s_bit_for_bit(count):
    a, b = (table.requires_grad_() for table in rows(count, width=16))
    own, theirs = ntx(a, b, 0.1), NTXentLoss(0.1)(a, b)
    assert torch.equal(own, theirs)
    gradients = [torch.autograd.grad(loss, (a, b)) for loss in (own, theirs)]
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_a_column_less_in_each_row():
    table = torch.arange(12).reshape(3, 4)
    wanted = [[0, 2, 3], [4, 5, 6], [9, 10, 11]]
    assert without(table, torch.tensor([1, 3, 0])).tolist() == wanted
