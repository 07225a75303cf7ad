"""What all clusterers have in common: blobs, seeds, refusals, and what they leave alone."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from sm3kit.clusterers.base import Clustering, check_embeddings
from sm3kit.clusterers.confident import Confident
from sm3kit.clusterers.faiss import Faiss
from sm3kit.clusterers.p2ot import P2OT
from sm3kit.clusterers.release import Release
from sm3kit.clusterers.sinkhorn import Sinkhorn
from sm3kit.clusterers.sklearn import Sklearn
from sm3kit.clusterers.torch import Torch
from sm3kit.core.errors import DataError

KMEANS = [Faiss, Sklearn, Torch]
FILLING = [*KMEANS, Sinkhorn, P2OT, Confident]
ALL = [*FILLING, Release]


def blobs(sizes=(15, 15, 15, 15), width=8, seed=0):
    """Points around the axes, and which axis each belongs to."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    truth = truth[torch.randperm(len(truth), generator=generator)]
    noise = torch.randn(len(truth), width, generator=generator)
    return 5 * torch.eye(width)[truth] + 0.1 * noise, truth


def same_partition(one, other):
    """Whether two assignments agree up to the names of the clusters."""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def scattered(count=40, width=5):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(3))


def refusal(plugin, rows, k):
    with pytest.raises(DataError) as caught:
        plugin().fit(rows, k, seed=0)
    return str(caught.value)


# Answers


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("plugin", FILLING)
def test_blobs_are_found_again(plugin, seed):
    points, truth = blobs()
    found = plugin(restarts=10).fit(points, 4, seed)
    assert same_partition(found.assignments, truth)
    assert found.assignments.dtype == torch.int64
    assert found.centroids.dtype == torch.float32
    assert found.centroids.shape == (4, 8)
    assert found.sizes.tolist() == [15] * 4
    assert found.sizes.dtype == torch.int64
    assert found.entropy == pytest.approx(1, abs=1e-12)
    assert found.reseeded == 0
    rows = normalize(points, dim=1)
    for cluster in range(4):
        mean = normalize(rows[found.assignments == cluster].mean(0), dim=0)
        torch.testing.assert_close(found.centroids[cluster], mean, rtol=1e-4, atol=1e-4)
    squared = (rows - found.centroids[found.assignments]).square().sum()
    assert found.objective == pytest.approx(float(squared), rel=1e-3)


@pytest.mark.parametrize("init", ["random", "kmeans++"])
@pytest.mark.parametrize("plugin", KMEANS)
def test_blobs_that_differ_in_length(plugin, init):
    """Not spherical: two blobs lie in one direction, far from the origin."""
    points, truth = blobs()
    points[truth == 1] = points[truth == 1] @ torch.eye(8).roll(-1, 0) * 3
    found = plugin(spherical=False, init=init, restarts=10).fit(points + 100, 4, seed=0)
    assert same_partition(found.assignments, truth)
    for cluster in range(4):
        mean = points[found.assignments == cluster].mean(0) + 100
        torch.testing.assert_close(found.centroids[cluster], mean, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("plugin", KMEANS)
def test_imbalanced_blobs_are_found_again(plugin):
    points, truth = blobs((120, 20, 5))
    for seed in range(5):
        found = plugin(restarts=10).fit(points, 3, seed)
        assert same_partition(found.assignments, truth)
        assert sorted(found.sizes.tolist()) == [5, 20, 120]
        entropy = -sum(n / 145 * math.log(n / 145) for n in (5, 20, 120)) / math.log(3)
        assert found.entropy == pytest.approx(entropy, abs=1e-9)


@pytest.mark.parametrize("plugin", FILLING)
def test_spherical_clusters_have_unit_length_and_forget_length(plugin):
    points, truth = blobs()
    scale = torch.linspace(0.1, 50, len(points)).unsqueeze(1)
    found = plugin(restarts=10).fit(points * scale, 4, seed=0)
    assert same_partition(found.assignments, truth)
    torch.testing.assert_close(found.centroids.norm(dim=1), torch.ones(4), rtol=0, atol=1e-5)


@pytest.mark.parametrize("spherical", [True, False])
def test_the_three_kmeans_agree(spherical):
    """Best of many restarts: about the same sum of squared distances."""
    points = scattered(60)
    sums = [
        plugin(spherical=spherical, restarts=30, iterations=100).fit(points, 4, 0).objective
        for plugin in KMEANS
    ]
    assert max(sums) <= 1.02 * min(sums)


@pytest.mark.parametrize("plugin", ALL)
def test_one_cluster(plugin):
    found = plugin().fit(scattered(), 1, seed=0)
    assert found.assignments.tolist() == [0] * 40
    assert found.entropy == 1


@pytest.mark.parametrize("plugin", ALL)
def test_one_cluster_for_each_point(plugin):
    points, _ = blobs((1, 1, 1))
    assert sorted(plugin().fit(points, 3, seed=0).assignments.tolist()) == [0, 1, 2]


@pytest.mark.parametrize("plugin", FILLING)
def test_no_cluster_stays_empty(plugin):
    """Nearly all rows are equal: a start among them leaves clusters without a row."""
    rows = torch.tensor([[1.0, 0, 0]]).repeat(30, 1)
    rows = torch.cat([rows, torch.tensor([[0.0, 1, 0], [0, 0.9, 0.1], [0, 0, 1], [0, 0, 1]])])
    for seed in range(10):
        found = plugin(restarts=1).fit(rows, 4, seed)
        assert found.sizes.min() >= 1
        assert same_partition(found.assignments[:30], torch.zeros(30))
        # A plan shares a row out among clusters that are close.
        assert found.objective == pytest.approx(0, abs=1e-2 if plugin is P2OT else 1e-4)


@pytest.mark.parametrize("plugin", [Sklearn, Torch])
@pytest.mark.parametrize("init", ["random", "kmeans++"])
def test_many_clusters_of_few_points(plugin, init):
    points = scattered(40, 2)
    for seed in range(5):
        found = plugin(init=init, restarts=1, spherical=False).fit(points, 35, seed)
        assert found.sizes.min() >= 1
        assert int(found.sizes.sum()) == 40


# Seeds


@pytest.mark.parametrize("plugin", ALL)
def test_a_seed_repeats(plugin):
    one, other = (plugin().fit(scattered(), 6, seed=5) for _ in range(2))
    assert torch.equal(one.assignments, other.assignments)
    assert torch.equal(one.centroids, other.centroids)
    assert one.objective == other.objective


@pytest.mark.parametrize("plugin", ALL)
def test_seeds_differ_and_may_be_large(plugin):
    clusterer = plugin() if plugin is Release else plugin(restarts=1)
    answers = [clusterer.fit(scattered(), 6, seed) for seed in (0, 1, 2, 3, 2**40 + 4)]
    assert len({tuple(one.assignments.tolist()) for one in answers}) > 1


@pytest.mark.parametrize("plugin", ALL)
def test_it_leaves_the_random_state_and_the_embeddings_alone(plugin):
    torch.manual_seed(0)
    points = scattered()
    before, given, keys = torch.get_rng_state(), points.clone(), np.random.get_state()[1].tolist()
    plugin().fit(points, 3, seed=7)
    if plugin in KMEANS:
        plugin(spherical=False).fit(points, 3, seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.random.get_state()[1].tolist() == keys
    assert torch.equal(points, given)


@pytest.mark.parametrize("plugin", FILLING)
def test_more_restarts_are_not_worse(plugin):
    points = scattered(60)
    once = min(plugin(restarts=1).fit(points, 8, seed).objective for seed in range(3))
    assert plugin(restarts=20).fit(points, 8, 0).objective <= once * 1.02


# What comes


@pytest.mark.parametrize("plugin", FILLING)
def test_embeddings_of_a_network(plugin):
    points, truth = blobs()
    clusterer = plugin(restarts=10)
    for rows in (points.half().requires_grad_(), points.double(), points.T.contiguous().T):
        found = clusterer.fit(rows, 4, seed=0)
        assert same_partition(found.assignments, truth)
        assert not found.centroids.requires_grad


@pytest.mark.parametrize("plugin", ALL)
def test_it_makes_no_noise(plugin, capfd, recwarn):
    plugin().fit(scattered(), 10, seed=0)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert not recwarn.list


@pytest.mark.parametrize("plugin", ALL)
def test_fewer_points_than_clusters(plugin):
    told = refusal(plugin, torch.ones(3, 2), 4)
    assert told == "4 clusters need at least 4 embeddings, not 3. Lower k."
    assert refusal(plugin, torch.ones(0, 2), 1).startswith("1 clusters need at least 1 embeddings")


@pytest.mark.parametrize("plugin", ALL)
@pytest.mark.parametrize("k", [0, -1])
def test_no_clusters(plugin, k):
    assert refusal(plugin, scattered(), k) == f"{k} clusters are impossible. Ask for one or more."


@pytest.mark.parametrize("plugin", ALL)
def test_what_is_no_table(plugin):
    told = refusal(plugin, torch.ones(3, 2, 2), 1)
    assert told == "Embeddings to cluster must have the shape (N, D), not (3, 2, 2)."


@pytest.mark.parametrize("plugin", ALL)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_values_that_are_not_finite(plugin, bad):
    points = scattered()
    points[2, 0] = points[2, 1] = points[7, 3] = bad
    assert refusal(plugin, points, 4) == (
        "2 of 40 embeddings hold values that are not finite, or beyond 1e18. "
        "Lower the learning rate of the training that made them."
    )


@pytest.mark.parametrize("plugin", ALL)
@pytest.mark.parametrize("distinct", [1, 2])
def test_collapsed_embeddings(plugin, distinct):
    points = scattered(distinct).repeat(300, 1)
    word = "rows" if plugin is Release else "directions"
    assert refusal(plugin, points, 3) == (
        f"{len(points)} embeddings hold only {distinct} distinct {word}, too few for 3 clusters: "
        "they have collapsed. Lower the learning rate of the training that made them, or lower k."
    )


@pytest.mark.parametrize("plugin", KMEANS)
def test_rows_of_one_direction_can_be_clustered_by_length(plugin):
    rows = torch.tensor([1.0, 2, 3, 20, 21, 22]).unsqueeze(1) * torch.ones(3)
    assert "only 1 distinct directions" in refusal(plugin, rows, 2)
    found = plugin(spherical=False).fit(rows, 2, seed=0)
    assert same_partition(found.assignments, torch.tensor([0, 0, 0, 1, 1, 1]))


@pytest.mark.parametrize("plugin", ALL)
def test_a_row_of_zeros_is_no_harm(plugin):
    points = scattered()
    points[3] = 0
    found = plugin().fit(points, 3, seed=0)
    assert found.centroids.isfinite().all()
    assert math.isfinite(found.objective)


# The answer's own numbers


def test_sizes_and_entropy_by_hand():
    found = Clustering(torch.tensor([0, 0, 2, 0]), torch.zeros(3, 2), 0.0)
    assert found.sizes.tolist() == [3, 0, 1]
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(3)
    assert found.entropy == pytest.approx(entropy, abs=1e-12)
    assert found.reseeded == 0


def test_checked_rows_are_float32_and_of_unit_length_on_demand():
    points = scattered().half()
    assert check_embeddings(points, 3).dtype == torch.float32
    assert check_embeddings(points.double(), 3).dtype == torch.float64
    unit = check_embeddings(points, 3, unit=True)
    torch.testing.assert_close(unit, normalize(points.float(), dim=1))
