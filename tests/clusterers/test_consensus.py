"""Consensus: co-association by hand, linkage by scikit-learn, rare classes where k-means fails."""

import pytest
import torch
from planted import planted
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import normalized_mutual_info_score as nmi

from sm3kit.clusterers.consensus import Consensus
from sm3kit.clusterers.faiss import Faiss
from sm3kit.nn.clustering.co_association import average_linkage, co_association, mean_co_association

# Four runs on five rows.
PIECES = torch.tensor([[0, 0, 1, 1, 2], [0, 0, 0, 1, 1], [0, 1, 1, 2, 2], [0, 0, 1, 1, 1]])


def test_co_association_by_hand():
    quarters = [
        [4, 3, 1, 0, 0],
        [3, 4, 2, 0, 0],
        [1, 2, 4, 2, 1],
        [0, 0, 2, 4, 3],
        [0, 0, 1, 3, 4],
    ]
    assert torch.equal(co_association(PIECES), torch.tensor(quarters) / 4)


def test_mean_co_association_by_hand():
    clusters = torch.tensor([0, 0, 1, 1, 1])
    near = mean_co_association(PIECES, PIECES, clusters, 2)
    wanted = torch.tensor([[7 / 2, 1 / 3], [7 / 2, 2 / 3], [3 / 2, 7 / 3], [0, 3], [0, 8 / 3]]) / 4
    torch.testing.assert_close(near, wanted)


def test_mean_co_association_is_that_of_the_matrix():
    generator = torch.Generator().manual_seed(0)
    pieces = torch.randint(6, (10, 50), generator=generator)
    clusters = torch.arange(30) % 4
    together = co_association(pieces)[:, :30]
    means = [together[:, clusters == cluster].mean(1) for cluster in range(4)]
    near = mean_co_association(pieces, pieces[:, :30], clusters, 4)
    torch.testing.assert_close(near, torch.stack(means, dim=1))


@pytest.mark.parametrize("k", [1, 2, 5, 39, 40])
def test_linkage_is_that_of_scikit_learn(k):
    rows = torch.randn(40, 3, generator=torch.Generator().manual_seed(1)).double()
    similarity = 1 - torch.cdist(rows, rows) / 20
    own = average_linkage(similarity.fill_diagonal_(1), k)
    other = AgglomerativeClustering(k, metric="precomputed", linkage="average")
    assert len(set(own.tolist())) == k
    assert nmi(own, other.fit_predict(1 - similarity.numpy())) == pytest.approx(1)


def test_equal_rows_are_cut_into_exactly_k():
    assert sorted(average_linkage(torch.ones(6, 6), 3).bincount().tolist()) != [6]
    assert len(average_linkage(torch.ones(6, 6), 3).unique()) == 3


@pytest.mark.parametrize("options", [{}, {"features": 0.9, "runs": 10}])
def test_rare_classes_are_found_where_k_means_splits_the_large_one(options):
    rows, truth = planted(413, 4.0, 0)
    assert nmi(truth, Faiss().fit(rows, 3, 0).assignments) < 0.7
    clustering = Consensus(**options).fit(rows, 3, 0)
    assert nmi(truth, clustering.assignments) > 0.9
    assert clustering.objective == pytest.approx(float(clustering.weights.mean()))
    assert clustering.weights.min() > 0


def test_those_beyond_the_sample_follow_it():
    rows, truth = planted(1500, 1.5, 0, width=64)
    clustering = Consensus(linked=100).fit(rows, 3, 0)
    assert nmi(truth, clustering.assignments) > 0.95


def test_one_cluster_and_one_for_each_row():
    rows = torch.eye(4)
    assert Consensus().fit(rows, 1, 0).assignments.tolist() == [0] * 4
    assert sorted(Consensus().fit(rows, 4, 0).assignments.tolist()) == [0, 1, 2, 3]
    assert Consensus().fit(rows[:1], 1, 0).weights.tolist() == [1]
