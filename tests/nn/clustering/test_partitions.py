"""Partitions against closed forms and each other."""

import math

import numpy as np
import pytest
import torch

from sm3kit.nn.clustering import partitions
from sm3kit.nn.clustering.partitions import (
    cluster_means,
    count_distinct,
    fill_empty,
    inertia,
    nearest,
    own_distances,
    size_entropy,
    spread_rows,
    squared_distances,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def names(count, k, seed=0):
    return torch.randint(k, (count,), generator=generator(seed))


def gauss(count, width, seed=0):
    return torch.randn(count, width, generator=generator(seed))


def distinct(rows, enough):
    return count_distinct(rows, rows.norm(dim=1, keepdim=True), enough)


def test_the_entropy_of_sizes_by_hand():
    assert size_entropy(torch.tensor([0, 1, 2, 0, 1, 2]), 3) == pytest.approx(1, abs=1e-12)
    assert size_entropy(torch.zeros(5, dtype=torch.int64), 3) == 0
    assert size_entropy(torch.zeros(5, dtype=torch.int64), 1) == 1
    # Shares 3/4 and 1/4 of two clusters; a third that is empty changes the norm alone.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    rows = torch.tensor([0, 0, 0, 1, -1])
    assert size_entropy(rows, 2) == pytest.approx(entropy / math.log(2), abs=1e-12)
    assert size_entropy(rows, 3) == pytest.approx(entropy / math.log(3), abs=1e-12)


def test_distinct_rows_are_counted_up_to_enough():
    rows = torch.tensor([[1.0, 0], [1, 0], [0, 1], [1, 1], [0, 1]])
    assert [distinct(rows, enough) for enough in (1, 2, 3, 4, 9)] == [1, 2, 3, 3, 3]
    assert distinct(rows.repeat(300, 1), 9) == 3
    assert distinct(torch.cat([torch.zeros(600, 2), rows]), 9) == 4
    assert distinct(torch.tensor([[0.0], [-0.0]]), 2) == 1


def test_what_float32_rounds_is_not_distinct():
    rows = gauss(1, 512)
    assert distinct(torch.cat([rows, rows * (1 + 1e-7)]), 2) == 1
    assert distinct(torch.cat([rows, rows * (1 + 1e-5)]), 2) == 2
    # A long row does not make short ones equal.
    assert distinct(torch.tensor([[1e9], [1.0], [2.0]]), 3) == 3


def test_spread_rows_come_from_every_blob():
    rows = 100 * torch.eye(6)[torch.arange(60) % 6] + gauss(60, 6)
    for seed in range(10):
        picked = spread_rows(rows, 6, generator(seed))
        assert sorted(picked.argmax(1).tolist()) == list(range(6))
        assert all((rows == one).all(1).any() for one in picked)


def test_nearest_is_that_of_the_distances(monkeypatch):
    rows, centroids = gauss(50, 4), gauss(7, 4, seed=1)
    distances = squared_distances(rows, centroids)
    for held in (2**24, 21, 1):
        monkeypatch.setattr(partitions, "HELD", held)
        assignments, near = nearest(rows, centroids)
        assert torch.equal(assignments, distances.argmin(1))
        back = rows.square().sum(1) - 2 * near
        torch.testing.assert_close(back, distances.amin(1), rtol=1e-5, atol=1e-5)
        own = own_distances(rows, assignments, centroids)
        torch.testing.assert_close(own, distances.amin(1), rtol=1e-5, atol=1e-6)
        assert inertia(rows, assignments, centroids) == pytest.approx(float(own.sum()), rel=1e-5)


def test_means_by_hand(monkeypatch):
    rows = torch.tensor([[0.0, 2], [2, 4], [5, 5]])
    centroids = torch.full((3, 2), 9.0)
    for held in (2**24, 1):
        monkeypatch.setattr(partitions, "HELD", held)
        means = cluster_means(rows, torch.tensor([0, 0, 2]), centroids)
        assert means.tolist() == [[1, 3], [9, 9], [5, 5]]
    assert (centroids == 9).all()


def test_the_farthest_row_fills_an_empty_cluster_with_its_neighbours():
    rows = torch.tensor([[0.0], [0.5], [1.0], [8.0], [8.5], [50.0]])
    assignments = torch.tensor([0, 0, 0, 0, 0, 2])
    centroids = torch.tensor([[0.5], [-9.0], [50.0]])
    filled, moved, count = fill_empty(rows, assignments, centroids)
    assert filled.tolist() == [0, 0, 0, 1, 1, 2]
    assert moved.tolist() == [[0.5], [8.5], [50.0]]
    assert count == 1
    assert assignments.tolist() == [0, 0, 0, 0, 0, 2]
    assert centroids[1] == -9


def test_nothing_is_filled_without_need():
    assignments, centroids = torch.tensor([0, 1]), torch.zeros(2, 1)
    filled = fill_empty(torch.ones(2, 1), assignments, centroids)
    assert filled[0] is assignments
    assert filled[1] is centroids
    assert filled[2] == 0


@pytest.mark.parametrize("rows", [torch.zeros(6, 2), gauss(6, 2), torch.eye(2).repeat(3, 1)])
@pytest.mark.parametrize("k", [2, 4, 6])
def test_no_cluster_stays_empty_and_none_is_emptied(rows, k):
    """Even where rows are equal, where the cluster is far off, and for one cluster per row."""
    centroids = torch.full((k, 2), 100.0)
    filled, moved, count = fill_empty(rows, torch.full((6,), k - 1), centroids)
    assert np.bincount(filled.numpy(), minlength=k).min() >= 1
    assert count == k - 1
    assert moved[:-1].abs().max() < 100
