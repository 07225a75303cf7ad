"""Dependence between the soft assignments of labels."""

import math

import pytest
import torch
from torch.nn import functional as F

from sm3kit.nn.clustering.diversity import dependence, diversity_loss, soft_assignments


def hard(*clusters):
    return F.one_hot(torch.tensor(clusters)).double()


def test_the_dependence_of_two_partitions_of_four_by_hand():
    """Shares of pairs 1/4, 1/4, 0, 1/2 against 1/8, 3/8, 1/8, 3/8: four differences of 1/8."""
    assert dependence(hard(0, 0, 1, 1), hard(0, 1, 1, 1)).item() == pytest.approx(0.25)


@pytest.mark.parametrize(("clusters", "most"), [(2, 0.5), (3, 2**0.5 / 3)])
def test_equal_partitions_have_the_most_and_independent_ones_none(clusters, most):
    own = hard(*(torch.arange(36) % clusters).tolist())
    other = hard(*(torch.arange(36) // clusters % 2).tolist())
    assert dependence(own, own).item() == pytest.approx(most)
    assert dependence(own, own.flip(1)).item() == pytest.approx(most)  # Numbers do not matter.
    assert dependence(own, other).item() == pytest.approx(0, abs=1e-12)


def test_the_dependence_is_the_length_of_a_covariance():
    """A second way: the mean over the studies of the outer products of what is left of the means."""
    numbers = torch.Generator().manual_seed(0)
    first = torch.rand(50, 3, generator=numbers, dtype=torch.float64).softmax(1)
    second = torch.rand(50, 4, generator=numbers, dtype=torch.float64).softmax(1)
    pairs = zip(first - first.mean(0), second - second.mean(0), strict=True)
    covariance = torch.stack([torch.outer(a, b) for a, b in pairs]).mean(0)
    wanted = covariance.square().sum().sqrt()
    torch.testing.assert_close(dependence(first, second), wanted, rtol=1e-12, atol=0)


def test_each_pair_costs_what_it_has_above_the_target():
    """Equal halves have 0.5, and neither depends on the third: 0.5 - 0.1 once."""
    half, other = hard(0, 0, 1, 1), hard(0, 1, 0, 1)
    assert diversity_loss([half, other, half], 0.1).item() == pytest.approx(0.4)
    assert diversity_loss([half, half, half], 0.1).item() == pytest.approx(1.2)
    assert diversity_loss([half], 0.1).item() == 0


def test_the_scale_of_the_logits_does_not_matter_and_their_gradient_does_not_vanish():
    """Two labels that are one partition, as stage 2 knows them: logits of 11 and of -11."""
    sides = torch.tensor([1.0, -1.0] * 32).unsqueeze(1) * torch.tensor([11.0, -11.0])
    logits = [sides.clone().requires_grad_() for _ in range(2)]
    wanted = soft_assignments(logits)[0]
    assert wanted[0, 0].item() == pytest.approx(1 / (1 + math.exp(-4)))  # +-1 / 0.5.
    for scale in (1e-3, 1e3):
        torch.testing.assert_close(soft_assignments([sides * scale + 100 * scale])[0], wanted)
    diversity_loss(soft_assignments(logits), 0.0).backward()
    assert logits[0].grad.norm() > 1e-4
    again = [sides.clone().requires_grad_() for _ in range(2)]
    diversity_loss([rows.softmax(1) for rows in again], 0.0).backward()
    assert again[0].grad.norm() < 1e-8


def test_independence_and_a_single_cluster_have_a_gradient_of_zero():
    """Neither is a root of zero, whose gradient is no number."""
    for rows in (torch.zeros(4, 2), torch.zeros(4, 1)):
        logits = [rows.clone().requires_grad_(), torch.tensor([[1.0, -1.0]] * 4).requires_grad_()]
        diversity_loss(soft_assignments(logits), 0.0).backward()
        assert all(torch.equal(rows.grad, torch.zeros_like(rows)) for rows in logits)
