"""The authors' k-means, by hand."""

import pytest
import torch

from sm3kit.clusterers.release import Release, from_start

ROWS = torch.tensor([[3.0, 0.0], [4.0, 3.0], [0.0, 2.0]])


def test_one_iteration_by_hand():
    """Rows 1 and 3 start: the products are (9, 0), (12, 6), (0, 4).

    So rows 1 and 2 go to the first, whose mean (3.5, 1.5) has length sqrt(14.5). Then the products
    of row 2 are 18.5/sqrt(14.5) = 4.86 and 3, and nothing changes.
    """
    assignments, centroids = from_start(ROWS, ROWS[[0, 2]], iterations=1)
    assert assignments.tolist() == [0, 0, 1]
    expected = torch.tensor([[3.5 / 14.5**0.5, 1.5 / 14.5**0.5], [0, 1]])
    torch.testing.assert_close(centroids, expected, rtol=1e-6, atol=1e-6)


def test_an_empty_cluster_keeps_its_centroid_with_unit_length():
    """From (1, 0), (4, 3) and (0, 1) all rows choose the long (4, 3) first.

    The products are (3, 12, 0), (4, 25, 3), (0, 6, 2): the others are empty and keep their
    directions. The mean (7/3, 5/3) gives (7, 5)/sqrt(74); the next products are (3, 2.44, 0),
    (4, 5.00, 3), (0, 1.16, 2), so each row has a cluster of its own.
    """
    start = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
    assignments, centroids = from_start(ROWS, start, iterations=1)
    expected = torch.tensor([[1, 0], [7 / 74**0.5, 5 / 74**0.5], [0, 1]])
    torch.testing.assert_close(centroids, expected, rtol=1e-6, atol=1e-6)
    assert assignments.tolist() == [0, 1, 2]
    # An empty cluster that starts long has unit length afterwards, too.
    _, centroids = from_start(ROWS, torch.tensor([[4.0, 3.0], [-8.0, 0.0]]), iterations=1)
    torch.testing.assert_close(centroids[1], torch.tensor([-1.0, 0.0]))


def test_clusters_may_stay_empty():
    """Opposed to all rows."""
    assignments, _ = from_start(ROWS, torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), iterations=10)
    assert assignments.tolist() == [0, 0, 0]


def test_without_an_iteration_the_start_itself_assigns():
    assignments, centroids = from_start(ROWS, ROWS[[0, 1]], iterations=0)
    assert torch.equal(centroids, ROWS[[0, 1]])
    assert assignments.tolist() == [1, 1, 1]


@pytest.mark.parametrize("normalise", [True, False])
def test_it_starts_from_rows_that_the_seed_draws(normalise):
    rows = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))
    found = Release(normalise=normalise).fit(rows, 3, seed=8)
    used = torch.nn.functional.normalize(rows, dim=1) if normalise else rows
    order = torch.randperm(30, generator=torch.Generator().manual_seed(8))
    assignments, centroids = from_start(used, used[order[:3]], 10)
    assert torch.equal(found.assignments, assignments)
    torch.testing.assert_close(found.centroids, centroids)
    products = (used * centroids[assignments]).sum()
    assert found.objective == pytest.approx(float(products), rel=1e-5)
    assert found.reseeded == 0
