"""Logistic regression: scikit-learn's own optimum, and what it is chosen by."""

import time

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sm3kit.classifiers.base import JOINT, ClassifierInputs, LabelledFeatures
from sm3kit.classifiers.logistic import GRID, Logistic
from sm3kit.core.errors import DataError, OptionError

LABELS = {"VS": ("abs", "reg"), "DIAG": ("nev", "mel", "bcc")}


def build(width, labels=LABELS, **options):
    return Logistic(ClassifierInputs(widths={JOINT: width}, labels=labels), **options)


def studies(rows=60, width=200, seed=0, labels=LABELS):
    """Features of few directions with noise, and classes that depend on them."""
    rng = np.random.default_rng(seed)
    drawn = np.random.default_rng(7).normal(size=(8, width))
    latent = rng.normal(size=(rows, 8))
    features = np.maximum(latent @ drawn + rng.normal(size=(rows, width)), 0) + 3
    columns = [
        (latent[:, : len(names)] + 0.7 * rng.normal(size=(rows, len(names)))).argmax(1)
        for names in labels.values()
    ]
    present = {JOINT: torch.ones(rows, dtype=torch.bool)}
    joint = torch.tensor(features, dtype=torch.float32)
    return LabelledFeatures({JOINT: joint}, present, torch.tensor(np.stack(columns, 1)))


def of_sklearn(train, asked, label, c, **options):
    """The probabilities of scikit-learn, of standardised features as they are."""
    known = train.labels[:, label] >= 0
    scaler = StandardScaler().fit(train.features[JOINT][known].double().numpy())
    rows = [scaler.transform(f[JOINT].double().numpy()) for f in (train.features, asked.features)]
    model = LogisticRegression(C=c, solver="lbfgs", tol=1e-10, max_iter=100_000, **options)
    model.fit(rows[0][known], train.labels[known, label].numpy())
    return torch.from_numpy(model.predict_proba(rows[1])).float()


def decided(classifier, asked):
    return classifier.decide(classifier(asked.features, asked.present))


@pytest.mark.parametrize("width", [12, 200])
@pytest.mark.parametrize("c", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("balanced", [False, True])
def test_it_has_the_optimum_of_scikit_learn(width, c, balanced):
    """With fewer features than studies, and with more."""
    train, asked = studies(width=width), studies(seed=1, width=width)
    train.labels[::7, 1] = -1
    classifier = build(width, C=c, balanced=balanced)
    assert classifier.fit(train, asked) == {"C": c}
    weights = {"class_weight": "balanced"} if balanced else {}
    for label, rows in enumerate(decided(classifier, asked)):
        known = of_sklearn(train, asked, label, c, **weights)
        assert torch.allclose(rows, known, atol=1e-4)


def auc_by_counting(scores, positive):
    """The share of pairs of a positive and a negative study that are in the right order."""
    pairs = scores[positive].unsqueeze(1) - scores[~positive]
    return float(((pairs > 0).double() + (pairs == 0).double() / 2).mean())


def mean_auc(rows, classes):
    aucs = [auc_by_counting(rows[:, number], classes == number) for number in classes.unique()]
    return sum(aucs) / len(aucs)


@pytest.mark.parametrize("choice", ["all", "label"])
def test_c_is_chosen_by_the_mean_auc(choice):
    train, choosing = studies(rows=40), studies(rows=50, seed=1)
    grid = (1e-5, 1e-3, 1e-1, 10.0)
    aucs = torch.zeros(len(grid), 2)
    for place, c in enumerate(grid):
        classifier = build(200, C=c)
        classifier.fit(train, None)
        for label, rows in enumerate(decided(classifier, choosing)):
            aucs[place, label] = mean_auc(rows, choosing.labels[:, label])
    chosen = build(200, choice=choice, grid=grid).fit(train, choosing)
    if choice == "all":
        assert chosen == {"C": grid[int(aucs.mean(1).argmax())]}
    else:
        best = [grid[int(column.argmax())] for column in aucs.T]
        assert chosen == {"C/VS": best[0], "C/DIAG": best[1]}


def test_without_a_split_that_chooses_c_is_one_over_the_width():
    assert build(200).fit(studies(), None) == {"C": 1 / 200}


def test_equal_aucs_are_told_apart_by_the_likelihood():
    """Classes that lie apart are ranked rightly by every C; a weak penalty is surer of them."""
    labels = torch.arange(40).view(-1, 1) % 2
    rows = {JOINT: torch.cat([labels * 4.0, torch.ones(40, 3)], dim=1)}
    same = LabelledFeatures(rows, {JOINT: torch.ones(40, dtype=torch.bool)}, labels)
    assert build(4, {"VS": ("abs", "reg")}).fit(same, same) == {"C": GRID[-1]}


def test_a_class_without_training_studies_is_never_chosen():
    train = studies()
    train.labels[train.labels[:, 1] == 2, 1] = 0
    classifier = build(200, C=0.01)
    classifier.fit(train, None)
    rows = decided(classifier, train)[1]
    assert rows[:, 2].max() < 1e-9
    assert torch.allclose(rows[:, :2], of_sklearn(train, train, 1, 0.01), atol=1e-4)


@pytest.mark.parametrize("width", [12, 200])
def test_a_label_of_one_class_or_none(width):
    """As in a subset of the studies; the other labels are as they are without it."""
    train = studies(width=width)
    train.labels[:, 0] = -1
    classifier = build(width, C=0.01)
    classifier.fit(train, train)
    unknown, other = decided(classifier, train)
    assert torch.allclose(unknown, torch.full_like(unknown, 0.5))
    assert torch.allclose(other, of_sklearn(train, train, 1, 0.01), atol=1e-4)
    train.labels[:7, 0] = 1
    chosen = build(width)
    assert chosen.fit(train, studies(seed=1, width=width))["C"] in GRID
    assert decided(chosen, train)[0][:, 0].max() < 1e-9


def test_its_weights_are_counted():
    assert sum(weight.numel() for weight in build(200).parameters()) == 5 * 200 + 5


def test_nothing_to_choose_from():
    with pytest.raises(OptionError, match=r"logistic\.grid needs at least one value of C"):
        build(4, grid=())


def test_no_auc_to_choose_by():
    choosing = studies(rows=5)
    choosing.labels[:] = 0
    with pytest.raises(DataError, match=r"No label has two classes.* -o logistic\.C=0\.001"):
        build(200).fit(studies(), choosing)
    choosing.labels[:, 0] = torch.tensor([0, 1, 0, 1, -1])
    assert set(build(200, choice="label").fit(studies(), choosing)) == {"C/VS", "C/DIAG"}


@pytest.mark.slow
def test_the_size_of_derm7pt_takes_seconds():
    labels = {f"label {number}": "abcde"[:count] for number, count in enumerate([2, 3] * 3 + [5])}
    train, choosing = (studies(rows, 4096, rows, labels) for rows in (413, 203))
    start = time.process_time()
    build(4096, labels).fit(train, choosing)
    assert time.process_time() - start < 30
