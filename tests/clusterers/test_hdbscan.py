"""Dense groups, and what is left out."""

import pytest
import torch
from planted import planted
from sklearn.cluster import HDBSCAN
from sklearn.metrics import normalized_mutual_info_score as nmi

from sm3kit.clusterers.hdbscan import Hdbscan, largest_first


def test_groups_by_size():
    groups = torch.tensor([2, 2, 0, -1, 1, 1, 1])
    assert largest_first(groups, 3).tolist() == [1, 1, 2, -1, 0, 0, 0]
    assert largest_first(groups, 2).tolist() == [1, 1, -1, -1, 0, 0, 0]
    assert largest_first(torch.tensor([-1, -1]), 2).tolist() == [-1, -1]


def test_without_principal_directions_it_is_hdbscan_of_directions():
    rows, _ = planted(300, 1.0, 0, width=16)
    clustering = Hdbscan(components=0).fit(rows * 7, 3, 0)
    plain = HDBSCAN(min_cluster_size=6, metric="cosine", algorithm="brute", copy=True)
    plain.fit(rows.double().numpy())
    inside = clustering.assignments >= 0
    assert torch.equal(inside, torch.from_numpy(plain.labels_ >= 0))
    assert nmi(clustering.assignments, plain.labels_) == pytest.approx(1)
    assert len(clustering.centroids) == plain.labels_.max() + 1 == 3
    assert (clustering.weights[~inside] == 0).all()


def test_in_512_dimensions_principal_directions_find_what_density_does_not():
    rows, truth = planted(413, 3.0, 1)
    clustering = Hdbscan().fit(rows, 3, 0)
    assert nmi(truth, clustering.assignments) > 0.95
    assert len(clustering.centroids) == 3
    assert len(Hdbscan(components=0).fit(rows, 3, 0).centroids) < 3


def test_the_smallest_groups_are_left_out():
    rows, truth = planted(300, 0.5, 0, width=16)
    clustering = Hdbscan(most_clusters=2).fit(rows, 3, 0)
    assert clustering.sizes.tolist() == [240, 39]
    assert torch.equal(clustering.assignments < 0, truth == 2)
    assert clustering.objective == pytest.approx(279 / 300)


@pytest.mark.parametrize("count", [3, 40])
def test_where_nothing_is_dense_all_are_left_out(count):
    rows = torch.randn(count, 8, generator=torch.Generator().manual_seed(0))
    clustering = Hdbscan(smallest=100).fit(rows, 3, 0)
    assert clustering.assignments.tolist() == [-1] * count
    assert clustering.weights.tolist() == [0] * count
    assert clustering.centroids.shape == (1, 8)
    assert clustering.sizes.tolist() == [0]
    assert (clustering.objective, clustering.entropy) == (0, 1)


def test_those_beyond_the_sample_follow_their_nearest_study():
    rows, truth = planted(600, 0.5, 0, width=16)
    clustering = Hdbscan(sample=200).fit(rows, 3, 0)
    inside = clustering.assignments >= 0
    assert inside.float().mean() > 0.9
    assert nmi(truth[inside], clustering.assignments[inside]) > 0.99
