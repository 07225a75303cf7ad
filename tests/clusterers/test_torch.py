"""k-means of PyTorch against scikit-learn from the same start, and by hand."""

import pytest
import torch
from sklearn.cluster import KMeans

from sm3kit.clusterers.base import fit_from
from sm3kit.clusterers.torch import Torch
from sm3kit.core.errors import DataError
from sm3kit.nn.clustering import partitions
from sm3kit.nn.clustering.kmeans import lloyd


def scattered(count=80, width=5, seed=3):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(5))
def test_it_ends_where_scikit_learn_ends(seed):
    rows = scattered(seed=seed)
    ours = lloyd(rows, rows[:6], iterations=300, tolerance=0)
    theirs = KMeans(6, init=rows[:6].numpy(), n_init=1, max_iter=300, tol=0).fit(rows.numpy())
    # Sums of 80 squared distances in another order.
    assert ours.objective == pytest.approx(theirs.inertia_, rel=1e-5)
    assert ours.assignments.tolist() == theirs.labels_.tolist()
    torch.testing.assert_close(ours.centroids, torch.from_numpy(theirs.cluster_centers_))


def test_one_step_by_hand():
    """Starts 0 and 4: {0, 1} and {4, 7} have means 0.5 and 5.5, and keep their rows."""
    rows = torch.tensor([[0.0], [1.0], [4.0], [7.0]])
    found = lloyd(rows, rows[[0, 2]], iterations=1, tolerance=0)
    assert found.centroids.flatten().tolist() == [0.5, 5.5]
    assert found.assignments.tolist() == [0, 0, 1, 1]
    assert found.objective == 0.25 + 0.25 + 2.25 + 2.25


def test_more_iterations_are_not_worse_and_tolerance_stops_early():
    rows = scattered(200, 2)
    sums = [lloyd(rows, rows[:8], n, 0).objective for n in (0, 1, 2, 5, 50)]
    assert sums == sorted(sums, reverse=True)
    assert sums[-1] < lloyd(rows, rows[:8], 50, tolerance=0.5).objective


def test_empty_clusters_are_filled_and_counted():
    rows = scattered()
    start = torch.cat([rows[:3], torch.full((2, 5), 1e3)])
    found = lloyd(rows, start, iterations=20, tolerance=0)
    assert torch.bincount(found.assignments, minlength=5).min() >= 1
    assert found.reseeded >= 2


def test_pieces_give_the_same_answer(monkeypatch):
    rows = scattered()
    whole = Torch().fit(rows, 4, seed=0)
    monkeypatch.setattr(partitions, "HELD", 30)
    pieces = Torch().fit(rows, 4, seed=0)
    assert torch.equal(whole.assignments, pieces.assignments)
    torch.testing.assert_close(whole.centroids, pieces.centroids)


def test_close_embeddings_keep_apart():
    """Directions that differ by 1e-4 of their length, whose cosines float32 cannot tell apart."""
    truth = torch.arange(40) % 4
    rows = torch.ones(40, 8) + 1e-4 * torch.eye(8)[truth] + 1e-6 * scattered(40, 8)
    found = Torch(restarts=10).fit(rows, 4, seed=0)
    assert len(set(zip(truth.tolist(), found.assignments.tolist(), strict=True))) == 4


@pytest.mark.parametrize("spherical", [True, False])
def test_a_start_decides_the_numbers_and_saves_restarts(spherical):
    """One run from it, as scikit-learn makes with `init`."""
    rows = torch.nn.functional.normalize(scattered() + 2, dim=1)
    clusterer = Torch(spherical=spherical, iterations=300, tolerance=0)
    ours = fit_from(clusterer, rows, 0, rows[:4] * (5 if spherical else 1))
    assert torch.equal(ours.assignments[:4], torch.arange(4))
    if not spherical:
        theirs = KMeans(4, init=rows[:4].numpy(), n_init=1, max_iter=300, tol=0).fit(rows.numpy())
        assert ours.assignments.tolist() == theirs.labels_.tolist()


def test_a_start_of_another_width_is_refused():
    with pytest.raises(DataError) as caught:
        fit_from(Torch(), scattered(), 0, torch.ones(3, 4))
    assert str(caught.value) == (
        "Centroids of shape (3, 4) are no start for embeddings of shape (80, 5). "
        "Give them the same width."
    )
