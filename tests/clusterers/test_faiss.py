"""k-means of FAISS: nearest centroids, and the best restart is the one that is given."""

import pytest
import torch

from sm3kit.clusterers.faiss import Faiss


def scattered(count=40, width=5):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(3))


def test_points_go_to_their_nearest_centroid():
    points = scattered()
    found = Faiss(spherical=False).fit(points, 5, seed=1)
    distances = torch.cdist(points, found.centroids)
    assert torch.equal(found.assignments, distances.argmin(1))
    assert found.objective > 0


@pytest.mark.parametrize("spherical", [True, False])
def test_the_objective_is_that_of_the_best_restart(spherical):
    """Of the clustering that is given, not of the last restart."""
    points = scattered(60)
    rows = torch.nn.functional.normalize(points, dim=1) if spherical else points
    for seed in range(5):
        found = Faiss(restarts=5, spherical=spherical, init="random").fit(points, 8, seed)
        squared = (rows - found.centroids[found.assignments]).pow(2).sum()
        assert squared.item() == pytest.approx(found.objective, rel=1e-4)


def test_empty_clusters_are_filled_and_counted():
    """FAISS splits a cluster of equal rows in vain; the row that is left apart is taken then."""
    rows = torch.tensor([[1.0, 0]] * 95 + [[0, 1.0]] * 3 + [[0.2, 0.9]] * 2)
    answers = [Faiss(restarts=1, init="random").fit(rows, 3, seed) for seed in range(10)]
    assert max(found.reseeded for found in answers) > 0
    for found in answers:
        assert sorted(found.sizes.tolist()) == [2, 3, 95]
        assert found.objective == pytest.approx(0, abs=1e-4)
        unit = torch.ones(3)
        torch.testing.assert_close(found.centroids.norm(dim=1), unit, rtol=0, atol=1e-5)
