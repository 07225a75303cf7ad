"""Random predictions with everything that real ones have: rare classes, ties, unknowns."""

import numpy as np
import pytest

from sm3kit.metrics.predictions import LabelScores, Predictions


def softmax(logits):
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


@pytest.fixture
def random_label():
    """random_label(seed) gives scores (N, C), truth (N,) and the reported class."""

    def make(seed, cases=None):
        rng = np.random.default_rng(seed)
        count = cases or int(rng.integers(2, 120))
        classes = int(rng.choice([2, 3, 5]))
        shares = rng.dirichlet(np.full(classes, 0.5))  # Often rare or absent classes.
        truth = rng.choice(classes, size=count, p=shares)
        logits = rng.normal(size=(count, classes)) + rng.choice([0, 1, 3]) * np.eye(classes)[truth]
        if seed % 3 == 0:
            logits = logits.round()  # Many ties, also for the argmax.
        truth[rng.random(count) < rng.choice([0, 0.3])] = -1
        return softmax(logits), truth, int(rng.integers(classes))

    return make


@pytest.fixture
def random_predictions():
    """random_predictions(seed) gives three labels of 60 cases; the truth is the same always."""

    def make(seed=0, cases=60, skill=1.0, groups=None):
        labels = {}
        for place, (name, count) in enumerate({"DIAG": 5, "PN": 3, "BWV": 2}.items()):
            truth = np.random.default_rng(place).integers(-1, count, size=cases)
            known = np.eye(count)[truth] * (truth >= 0)[:, None]
            noise = np.random.default_rng([seed, place]).normal(size=(cases, count))
            labels[name] = LabelScores(
                tuple(f"{name}{index}" for index in range(count)),
                f"{name}1",
                softmax(noise + skill * known),
                truth,
            )
        ids = np.array([f"case {number:03}" for number in range(cases)])
        return Predictions(labels, ids, ids if groups is None else groups)

    return make
