"""The number of clusters: silhouette by scikit-learn, stability of two halves."""

import pytest
import torch
from planted import planted
from sklearn.metrics import silhouette_score

from sm3kit.clusterers.auto import Auto, choose

WAYS = ("silhouette", "stability")


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.8, 0.13, 0.07), (0.3, 0.25, 0.25, 0.2)])
def test_the_number_of_groups_is_found_whatever_was_asked(by, shares):
    rows, truth = planted(240, 1.0, 0, shares=shares, width=32)
    clustering = Auto(by=by, repeats=2, most_clusters=6).fit(rows, 2, 0)
    assert len(clustering.centroids) == len(shares)
    pairs = set(zip(truth.tolist(), clustering.assignments.tolist(), strict=True))
    assert len(pairs) == len(shares)
    assert clustering.counts_alike


def test_the_score_is_the_silhouette_by_cosine():
    rows, _ = planted(120, 1.0, 0, width=16)
    clustering = Auto(components=0).fit(rows, 3, 0)
    score = silhouette_score(rows.numpy(), clustering.assignments.numpy(), metric="cosine")
    assert clustering.objective == pytest.approx(score, abs=1e-6)


def test_the_largest_number_within_the_tolerance():
    scores = {2: 1.0, 3: 0.97, 4: 0.9}
    assert [choose(scores, tolerance) for tolerance in (0, 0.05, 0.5)] == [2, 3, 4]
    assert choose({}, 0.05) == 1


@pytest.mark.parametrize("by", WAYS)
def test_few_rows_allow_few_clusters(by):
    for count in range(1, 6):
        clustering = Auto(by=by).fit(torch.eye(5)[:count], 1, 0)
        most = count - 1 if by == "silhouette" else count // 2
        assert 1 <= len(clustering.centroids) <= max(most, 1)
        assert clustering.sizes.min() >= 1
    alike = Auto(by=by).fit(torch.ones(30, 4), 1, 0)
    assert alike.assignments.tolist() == [0] * 30
