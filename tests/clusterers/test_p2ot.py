"""P2OT: rare groups in noise, weights that grow, and starts."""

import math

import pytest
import torch
from planted import planted
from sklearn.metrics import normalized_mutual_info_score

from sm3kit.clusterers.base import fit_from
from sm3kit.clusterers.faiss import Faiss
from sm3kit.clusterers.p2ot import P2OT


@pytest.mark.parametrize("seed", range(3))
def test_rare_classes_are_found_where_kmeans_splits_the_frequent_one(seed):
    rows, truth = planted(413, 3.5, seed)
    agree = [
        normalized_mutual_info_score(truth, clusterer.fit(rows, 3, seed).assignments)
        for clusterer in (P2OT(), Faiss())
    ]
    assert agree[0] >= 0.95
    assert agree[1] < 0.7


def test_all_mass_moves_unless_a_training_has_begun():
    clusterer = P2OT()
    assert clusterer.mass == 1
    for progress in (0.0, 0.5, 1.0):
        clusterer.before_epoch(progress)
        by_hand = 0.1 + 0.9 * math.exp(-5 * (1 - progress) ** 2)
        assert clusterer.mass == pytest.approx(by_hand, abs=1e-12)
    assert clusterer.mass == 1
    rows, _ = planted(60, 1.0, 0)
    assert clusterer.fit(rows, 3, 0).counts_alike


def test_weights_add_up_to_the_mass_and_prefer_the_clear_studies():
    rows, truth = planted(413, 5.0, 0)
    clusterer = P2OT(sinkhorn_iterations=3000)
    whole = clusterer.fit(rows, 3, 0)
    clusterer.before_epoch(0.3)
    part = clusterer.fit(rows, 3, 0)
    # Scalings end where their logarithms move by less than 1e-4.
    assert float(part.weights.mean()) == pytest.approx(clusterer.mass, rel=5e-3)
    assert torch.equal(part.assignments, whole.assignments)
    unit = torch.nn.functional.normalize(rows, dim=1)
    best = (unit @ part.centroids.T).topk(2).values
    lead = best[:, 0] - best[:, 1]
    assert torch.corrcoef(torch.stack([lead, part.weights]))[0, 1] > 0.5


def test_a_start_decides_the_numbers_in_noise():
    rows, truth = planted(413, 3.0, 0)
    means = torch.stack([rows[truth == number].mean(0) for number in (2, 0, 1)])
    wanted = torch.tensor([1, 2, 0])[truth]
    assert torch.equal(fit_from(P2OT(), rows, 0, means).assignments, wanted)
    means[0] = torch.nan
    assert (fit_from(P2OT(), rows, 0, means).assignments == wanted).float().mean() > 0.98


def test_the_uniform_prior_draws_towards_equal_sizes():
    rows, _ = planted(413, 4.0, 0)
    learned, uniform = (
        P2OT(prior=prior, gamma=gamma).fit(rows, 3, 0).entropy
        for prior, gamma in (("learned", 1.0), ("uniform", 10.0))
    )
    assert uniform > learned + 0.1


@pytest.mark.parametrize("components", [0, 1, 3])
@pytest.mark.parametrize("temperature", [0.0, 0.1])
def test_every_choice_finds_far_groups(components, temperature):
    rows, truth = planted(90, 0.5, 0, width=16)
    clusterer = P2OT(components=components, temperature=temperature)
    found = clusterer.fit(rows, 3, 0)
    assert normalized_mutual_info_score(truth, found.assignments) == pytest.approx(1)
    assert found.reseeded == 0
