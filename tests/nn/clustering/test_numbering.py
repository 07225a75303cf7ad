"""Clusters keep their numbers from one clustering to the next."""

import pytest
import torch
from planted import planted

from sm3kit.nn.clustering.numbering import same_numbers

CENTRES = torch.eye(4)


def test_other_numbers_of_the_same_clusters_are_undone():
    rows, truth = planted(60, 0.3, 0, shares=(0.4, 0.3, 0.2, 0.1), width=16)
    centroids = torch.stack([rows[truth == number].mean(0) for number in range(4)])
    order = torch.tensor([2, 0, 3, 1])  # The new cluster 0 is the old cluster 2.
    assert same_numbers(rows, truth, centroids[order]).tolist() == order.tolist()


def test_the_sum_of_all_cosines_decides_not_the_nearest_of_each():
    """Both new clusters are nearest to the old cluster 0; the second one has no other to go to."""
    rows, before = CENTRES[:2], torch.tensor([0, 1])
    centroids = torch.tensor([[0.8, 0.6, 0, 0], [1.0, 0.0, 0, 0]])
    assert same_numbers(rows, before, centroids).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("new", "numbers"),
    [
        ([3, 1, 0], [2, 1, 0]),  # One fewer: the old number 3 is beyond, so the free one is taken.
        ([2, 0], [1, 0]),
        ([1, 3, 0, 2], [1, 3, 0, 2]),
    ],
)
def test_fewer_clusters_have_numbers_without_a_gap(new, numbers):
    assert same_numbers(CENTRES, torch.arange(4), CENTRES[new]).tolist() == numbers


def test_more_clusters_take_the_numbers_that_are_free():
    numbers = same_numbers(CENTRES[:2], torch.tensor([0, 1]), CENTRES[[3, 1, 2, 0]])
    assert numbers[1] == 1
    assert numbers[3] == 0
    assert sorted(numbers.tolist()) == [0, 1, 2, 3]


def test_what_was_left_out_before_says_nothing():
    rows = torch.cat([CENTRES, 100 * CENTRES[:1]])
    before = torch.tensor([1, 0, 2, 3, -1])
    assert same_numbers(rows, before, CENTRES).tolist() == [1, 0, 2, 3]
    nothing = torch.full((5,), -1)
    assert same_numbers(rows, nothing, CENTRES).tolist() == [0, 1, 2, 3]
