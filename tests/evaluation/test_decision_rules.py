"""Weights of streams and temperatures, by hand and against other libraries."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_auc_score

from sm3kit.classifiers.base import Classifier, ClassifierInputs
from sm3kit.datasets.base import LabelSpec
from sm3kit.evaluation.decisions.stream_weights import (
    MOST_POINTS,
    auc,
    finest_steps,
    search_weights,
    simplex,
)
from sm3kit.evaluation.decisions.temperature import (
    fit_temperature,
    negative_log_likelihood,
    tempered,
)

# Weights of streams


def classifier():
    return Classifier(ClassifierInputs({"derm": 4}, {"DIAG": ("a", "b")}))


def decider(streams):
    """decide(weights) -> probabilities, with a classifier of its own."""
    owner = classifier()

    def decide(weights):
        owner.decision_weights = weights
        return owner.decide(streams)

    return decide


def logits(*differences):
    """Logits (N, 2) of the class b less those of a."""
    return torch.tensor([[0.0, value] for value in differences], dtype=torch.float64)


BINARY = [LabelSpec("DIAG", ("a", "b"), "b")]


def test_the_simplex_by_hand():
    assert simplex(2, 2).tolist() == [[0, 2], [1, 1], [2, 0]]
    assert simplex(3, 1).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert simplex(1, 20).tolist() == [[20]]
    brute = [p for p in itertools.product(range(21), repeat=4) if sum(p) == 20]
    assert simplex(4, 20).tolist() == [list(p) for p in brute]
    assert len(brute) == 1771


def test_many_streams_have_coarser_steps():
    assert [finest_steps(streams) for streams in (1, 2, 3, 4, 5)] == [20] * 5
    for streams in (6, 7, 15, 31, 20_000):
        steps = finest_steps(streams)
        assert 1 <= steps < 20
        assert streams == 20_000 or len(simplex(streams, steps)) <= MOST_POINTS


def test_a_made_up_table_by_hand():
    """Right needs w1 > 4 w2 of the first study, and 9 w2 > w1 of the second: w1 from .85 on.

    Study by study w1 less 4 w2 and, as class a, w1 less 9 w2: at w1 = .85 it is .25 and -.5, at
    .9 it is .5 and 0, a tie that the first class wins. The most even of both is .85.
    """
    streams = {"one": [logits(1, 1)], "two": [logits(-4, -9)]}
    found = search_weights(
        decider(streams), ["one", "two"], BINARY, np.array([[1], [0]]), "accuracy"
    )
    assert found.weights == {"one": pytest.approx(0.85), "two": pytest.approx(0.15)}
    assert (found.score, found.tried, found.step) == (1.0, 21, 0.05)


def test_of_equal_weights_the_most_even():
    streams = {name: [logits(2, -2, 1)] for name in ("x", "y", "z")}
    truth = np.array([[1], [0], [1]])
    for goal in ("auc", "accuracy"):
        found = search_weights(decider(streams), list(streams), BINARY, truth, goal)
        assert sorted(found.weights.values()) == pytest.approx([0.3, 0.35, 0.35])
        assert found == search_weights(decider(streams), list(streams), BINARY, truth, goal)


def test_no_other_point_is_better():
    rng = np.random.default_rng(0)
    labels = [LabelSpec("A", ("a", "b"), "b"), LabelSpec("B", ("x", "y", "z"), "")]
    truth = np.stack([rng.integers(-1, 2, 50), rng.integers(-1, 3, 50)], axis=1)
    streams = {
        name: [torch.from_numpy(rng.normal(size=(50, len(label.classes)))) for label in labels]
        for name in ("p", "q", "r")
    }
    decide = decider(streams)
    found = search_weights(decide, list(streams), labels, truth, "auc")
    best = 0.0
    for point in simplex(3, 20) / 20:
        first, second = (rows.numpy() for rows in decide(dict(zip("pqr", point, strict=True))))
        known = truth[:, 0] >= 0
        one = roc_auc_score(truth[known, 0], first[known, 1])
        known = truth[:, 1] >= 0
        rest = [roc_auc_score(truth[known, 1] == n, second[known, n]) for n in range(3)]
        best = max(best, (one + np.mean(rest)) / 2)
    assert found.score == pytest.approx(best, abs=1e-12)


def test_the_auc_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    for digits in (1, 8):
        score, positive = rng.random(100).round(digits), rng.random(100) < 0.3
        assert auc(score, positive) == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


def test_labels_that_cannot_choose_do_not():
    streams = {"x": [logits(1, 2)], "y": [logits(2, 1)]}
    found = search_weights(decider(streams), ["x", "y"], BINARY, np.array([[-1], [1]]), "auc")
    assert found.weights == {"x": 0.5, "y": 0.5}


def test_four_streams_are_searched_as_a_whole():
    rng = np.random.default_rng(0)
    labels = [LabelSpec(f"L{n}", ("a", "b", "c"), "b") for n in range(8)]
    truth = rng.integers(0, 3, (40, 8))
    streams = {
        name: [torch.from_numpy(rng.normal(size=(40, 3))) for _ in labels] for name in "wxyz"
    }
    found = search_weights(decider(streams), list(streams), labels, truth, "auc")
    assert found.tried == 1771


# Temperature


def drawn(seed, classes=3, sharp=3.0, count=400):
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.normal(size=(count, classes)) * 1.5)
    truth = torch.multinomial(rows.softmax(1), 1, generator=torch.Generator().manual_seed(seed))[
        :, 0
    ]
    truth[:20] = -1
    return (sharp * rows).softmax(dim=1), truth


@pytest.mark.parametrize("sharp", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_temperature_is_that_of_another_search(classes, sharp):
    probabilities, truth = drawn(classes, classes, sharp)
    found = fit_temperature(probabilities, truth)

    def loss(temperature):
        return negative_log_likelihood(tempered(probabilities, temperature), truth)

    other = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(other.x, rel=1e-5)
    assert found == pytest.approx(sharp, rel=0.3)  # What the truth was drawn by.


def test_a_temperature_by_hand():
    """Of four studies at odds of 9 to 1 three are right: best are odds of 3, so 1/T = log_9 3."""
    rows = torch.tensor([[0.9, 0.1]] * 4, dtype=torch.float64)
    assert fit_temperature(rows, torch.tensor([0, 0, 0, 1])) == pytest.approx(2, rel=1e-9)
    np.testing.assert_allclose(tempered(rows, 2.0)[0], [0.75, 0.25], atol=1e-12)


def test_the_order_stays():
    probabilities, truth = drawn(0, 2, 4.0)
    after = tempered(probabilities, fit_temperature(probabilities, truth))
    assert torch.equal(after[:, 1].argsort(), probabilities[:, 1].argsort())
    three, _ = drawn(1, 3)
    assert torch.equal(tempered(three, 2.5).argsort(dim=1), three.argsort(dim=1))
    np.testing.assert_allclose(after.sum(1), 1, atol=1e-12)


def test_what_fits_always_or_never_has_a_bound():
    rows = torch.tensor([[0.6, 0.4], [0.4, 0.6]], dtype=torch.float64)
    assert fit_temperature(rows, torch.tensor([0, 1])) == pytest.approx(0.05)
    assert fit_temperature(rows, torch.tensor([1, 0])) == pytest.approx(20)
    sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    assert tempered(sure, fit_temperature(sure, torch.tensor([1, 0]))).isfinite().all()


def test_one_class_alone_keeps_its_probabilities():
    rows = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64)
    for truth in ([-1, -1], [1, 1], [1, -1]):
        assert fit_temperature(rows, torch.tensor(truth)) == 1
    assert tempered(rows, 1.0) is rows
