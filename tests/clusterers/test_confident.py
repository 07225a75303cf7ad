"""Margins decide what counts, and all counts in the end."""

import torch
from planted import planted

from sm3kit.clusterers.confident import Confident, above_quantile
from sm3kit.clusterers.torch import Torch


def test_quantiles_by_hand():
    values = torch.tensor([5.0, 1.0, 2.0, 4.0, 3.0, 9.0, 8.0])
    alike = torch.zeros(7, dtype=torch.long)
    # The median is 4.
    assert torch.equal(above_quantile(values, alike, 0.5), values >= 4)
    assert above_quantile(values, alike, 0.0).all()
    groups = torch.tensor([0, 0, 0, 0, 0, 1, 1])
    kept = above_quantile(values, groups, 0.5)
    assert kept.tolist() == [True, False, False, True, True, True, False]
    assert above_quantile(values, groups, 0.99).sum() == 2


def test_the_doubtful_half_counts_later():
    rows, _ = planted(200, 4.0, 0)
    clusterer = Confident()
    assert clusterer.fit(rows, 3, 0).counts_alike
    shares = []
    for progress in (0.0, 0.5, 1.0):
        clusterer.before_epoch(progress)
        found = clusterer.fit(rows, 3, 0)
        shares.append(float(found.weights.mean()))
    assert shares == [0.5, 0.75, 1.0]
    clusterer.before_epoch(0.0)
    found = clusterer.fit(rows, 3, 0)
    best = (torch.nn.functional.normalize(rows, dim=1) @ found.centroids.T).topk(2).values
    margins = best[:, 0] - best[:, 1]
    assert margins[found.weights == 1].min() >= margins[found.weights == 0].max()


def test_clusters_are_those_of_kmeans():
    rows, _ = planted(200, 1.0, 0)
    own, plain = Confident().fit(rows, 3, 0), Torch(restarts=5).fit(rows, 3, 0)
    assert torch.equal(own.assignments, plain.assignments)
    assert torch.equal(own.centroids, plain.centroids)


def test_every_cluster_may_count_alike():
    rows, _ = planted(200, 1.0, 0)
    clusterer = Confident(per_cluster=True)
    clusterer.before_epoch(0.0)
    found = clusterer.fit(rows, 3, 0)
    for cluster, size in enumerate(found.sizes.tolist()):
        assert found.weights[found.assignments == cluster].sum() == size - size // 2
