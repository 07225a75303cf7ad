"""Balanced clusters: sizes follow the prior, plans are those of the plain algorithm."""

import math

import pytest
import torch

from sm3kit.clusterers.sinkhorn import Sinkhorn, assign, settle


def scattered(count=300, width=16, seed=3):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def shares(k, power):
    weights = torch.arange(1, k + 1) ** -power
    return weights / weights.sum()


@pytest.mark.parametrize("spread", [1.0, 1e-3])
@pytest.mark.parametrize("k", [2, 3, 8])
def test_sizes_are_equal(k, spread):
    """For scattered embeddings and for close ones, where every row is about as near to all."""
    rows = torch.ones(16) + spread * scattered()
    found = Sinkhorn().fit(rows, k, seed=0)
    assert (found.sizes - 300 / k).abs().max() <= 3
    assert found.entropy > 0.999


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_sizes_follow_the_prior(k, power):
    found = Sinkhorn(prior="power", power=power).fit(scattered(), k, seed=0)
    # A column is off by one row at most when it ends, and its share is rounded.
    assert (found.sizes - 300 * shares(k, power)).abs().max() <= 3


def test_the_prior_that_is_true_finds_imbalanced_groups():
    truth = torch.tensor([0] * 147 + [1] * 37 + [2] * 16)
    rows = 3 * torch.eye(16)[truth] + 0.2 * scattered(200)
    for seed in range(5):
        found = Sinkhorn(prior="power", power=2.0).fit(rows, 3, seed)
        assert (found.assignments == truth).float().mean() > 0.98


def test_the_uniform_prior_cuts_the_largest_group():
    truth = torch.tensor([0] * 80 + [1] * 10 + [2] * 10)
    rows = 3 * torch.eye(16)[truth] + 0.2 * scattered(100)
    assert sorted(Sinkhorn().fit(rows, 3, seed=0).sizes.tolist()) == pytest.approx(
        [33, 33, 34], abs=2
    )


def test_equal_rows_stay_together():
    rows = torch.eye(3).repeat_interleave(torch.tensor([20, 3, 1]), dim=0)
    assert sorted(Sinkhorn().fit(rows, 3, seed=0).sizes.tolist()) == [1, 3, 20]


def test_a_plan_by_hand():
    """All four rows prefer the first column; the two that lose least move to the second."""
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.3], [0.7, 0.6], [0.5, 0.1]])
    half = torch.tensor([0.5, 0.5])
    assert assign(scores, half, 0.05, 50).tolist() == [0, 0, 1, 1]
    assert settle(scores, half).tolist() == [0, 0, 1, 1]
    # One row too many is let be.
    assert settle(scores, torch.tensor([0.75, 0.25])).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_the_plan_is_that_of_plain_scaling(epsilon):
    """Against the algorithm of SwAV, listing 1, in float64, where its exponentials are safe."""
    rows, centroids = torch.nn.functional.normalize(scattered(), dim=1), torch.eye(16)[:2]
    scores = rows @ centroids.T
    plan = (scores.double() / epsilon).exp()
    for _ in range(100):
        plan = plan / plan.sum(0) * len(plan) / 2
        plan = plan / plan.sum(1, keepdim=True)
    ours = assign(scores, torch.tensor([0.5, 0.5]), epsilon, 100)
    # Sizes are made equal afterwards, which moves the rows between the two.
    assert (ours == plan.argmax(1)).float().mean() > 0.97


def test_tiny_epsilon_does_not_overflow():
    found = Sinkhorn(epsilon=1e-6).fit(scattered(), 3, seed=0)
    assert found.sizes.tolist() == pytest.approx([100] * 3, abs=3)
    assert math.isfinite(found.objective)
