"""Metrics against numbers worked out by hand, scikit-learn and torchmetrics."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn
from torchmetrics.functional import classification as torchmetrics

from sm3kit.core.errors import DataError
from sm3kit.metrics.per_label import METRICS, label_metrics, support

SEEDS = range(30)


def two_columns(score):
    score = np.array(score, float)
    return np.stack([1 - score, score], axis=1)


def cells(tp, fn, fp, tn):
    """Scores and truth of a binary label with a given table of decisions."""
    truth = np.repeat([1, 1, 0, 0], [tp, fn, fp, tn])
    score = np.repeat([0.9, 0.1, 0.9, 0.1], [tp, fn, fp, tn])
    return two_columns(score), truth


def same(found, expected):
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-12, err_msg=name)


# What is not finite


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_have_no_metrics(value):
    scores, truth = two_columns([0.9, 0.2, 0.7, 0.4]), np.array([1, 0, 1, 0])
    scores[2, 1] = value
    with pytest.raises(DataError) as caught:
        label_metrics(scores, truth, 1)
    assert str(caught.value) == (
        "Metrics need finite scores, and those of 1 of 4 cases are not. The training has "
        "diverged: lower its learning rate."
    )
    with pytest.raises(DataError):
        label_metrics(scores, truth, 1, np.ones((3, 4)))
    # A case whose truth is unknown counts nowhere.
    truth[2] = -1
    assert label_metrics(scores, truth, 1)["accuracy"] == 1


# By hand


def test_ranking_by_hand():
    """Scores 9 to 5, positives at 9, 7 and, tied with a negative, 6; negatives 8, 6 and 5.

    AUC: 9 beats three, 7 beats two, 6 beats one and ties with one: (3 + 2 + 1.5) / 9.
    Average precision: 1/3 (1/1 + 2/3 + 3/5).
    """
    scores = two_columns([0.9, 0.8, 0.7, 0.6, 0.6, 0.5])
    found = label_metrics(scores, np.array([1, 0, 1, 1, 0, 0]), 1)
    assert found["auc"] == pytest.approx(6.5 / 9, abs=1e-15)
    assert found["auprc"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3, abs=1e-15)
    # No false alarm is allowed with three negatives: the highest score alone.
    assert found["sens_at_90_spec"] == pytest.approx(1 / 3, abs=1e-15)


@pytest.mark.parametrize(("negatives", "expected"), [(10, 0.5), (9, 0.0), (20, 1.0)])
def test_sensitivity_at_90_specificity_by_hand(negatives, expected):
    """Of ten negatives exactly one may be called positive: 0.9 itself is enough."""
    score = [0.9, 0.8, 0.7, 0.6] + [0.1] * (negatives - 2)
    truth = np.array([0, 1, 0, 1] + [0] * (negatives - 2))
    found = label_metrics(two_columns(score), truth, 1)
    assert found["sens_at_90_spec"] == pytest.approx(expected, abs=1e-15)


def test_decisions_by_hand():
    """Three classes; rows are truth, columns calls: [[2, 1, 0], [1, 1, 1], [0, 0, 4]]."""
    table = np.array([[2, 1, 0], [1, 1, 1], [0, 0, 4]])
    truth, called = np.repeat([(i, j) for i in range(3) for j in range(3)], table.ravel(), axis=0).T
    found = label_metrics(np.eye(3)[called], truth, 1)
    assert found["sens"] == pytest.approx(1 / 3, abs=1e-15)
    assert found["spec"] == pytest.approx(6 / 7, abs=1e-15)
    assert found["prec"] == pytest.approx(1 / 2, abs=1e-15)
    assert found["accuracy"] == pytest.approx(7 / 10, abs=1e-15)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 3 + 1) / 3, abs=1e-15)
    assert found["macro_f1"] == pytest.approx((4 / 6 + 2 / 5 + 8 / 9) / 3, abs=1e-15)


@pytest.mark.parametrize(
    ("positives", "negatives", "tp", "fp", "printed"),
    [(75, 320, 49, 25, (65.3, 92.2, 66.2)), (106, 289, 44, 14, (41.5, 95.2, 75.9))],
)
def test_published_rows_are_consistent(positives, negatives, tp, fp, printed):
    """Two labels of the 395 test cases of derm7pt, as printed for the class that is present."""
    found = label_metrics(*cells(tp, positives - tp, fp, negatives - fp), 1)
    told = tuple(round(100 * found[name], 1) for name in ("sens", "spec", "prec"))
    assert told == printed


@pytest.mark.parametrize("seed", range(12))
def test_counts_sensitivity_and_specificity_determine_precision(random_label, seed):
    scores, truth, reported = random_label(seed)
    truth[:2] = reported, 1 - min(reported, 1)
    found = label_metrics(scores, truth, reported)
    counts = support(truth, reported, scores.shape[1])
    positives, negatives = counts["positives"], counts["known"] - counts["positives"]
    tp, fp = found["sens"] * positives, (1 - found["spec"]) * negatives
    # Rounding leaves about 1e-14 of an empty prediction.
    assert found["prec"] == pytest.approx(tp / (tp + fp) if tp + fp > 1e-9 else 0, abs=1e-9)


# Against scikit-learn and torchmetrics


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_scikit_learn(random_label, seed):
    scores, truth, reported = random_label(seed)
    found = label_metrics(scores, truth, reported)
    same(found, of_scikit_learn(scores, truth, reported))


@pytest.mark.parametrize("seed", SEEDS)
def test_weights_equal_scikit_learn_on_repeated_cases(random_label, seed):
    scores, truth, reported = random_label(seed)
    weights = np.random.default_rng(seed).integers(0, 4, size=(5, len(truth)))
    found = label_metrics(scores, truth, reported, weights)
    for row, times in enumerate(weights):
        again = np.repeat(np.arange(len(truth)), times)
        expected = of_scikit_learn(scores[again], truth[again], reported)
        same({name: values[row] for name, values in found.items()}, expected)


def of_scikit_learn(scores, truth, reported):
    known = truth >= 0
    scores, truth = scores[known], truth[known]
    score, positive, called = scores[:, reported], truth == reported, scores.argmax(1)
    says, present = called == reported, np.unique(truth)
    found = dict.fromkeys(METRICS, math.nan)
    if len(truth):
        found["accuracy"] = sklearn.accuracy_score(truth, called)
        found["macro_f1"] = sklearn.f1_score(
            truth, called, labels=present, average="macro", zero_division=0
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
            warnings.filterwarnings("ignore", message="A single label was found")
            found["balanced_accuracy"] = sklearn.balanced_accuracy_score(truth, called)
    if positive.any():
        found["sens"] = sklearn.recall_score(positive, says)
        found["prec"] = sklearn.precision_score(positive, says, zero_division=0)
        found["auprc"] = sklearn.average_precision_score(positive, score)
    if not positive.all():
        found["spec"] = sklearn.recall_score(~positive, ~says)
    if positive.any() and not positive.all():
        found["auc"] = sklearn.roc_auc_score(positive, score)
        fpr, tpr, _ = sklearn.roc_curve(positive, score, drop_intermediate=False)
        found["sens_at_90_spec"] = tpr[1 - fpr >= 0.9].max()
    return found


@pytest.fixture
def float64():
    """torchmetrics makes some of its sums in the default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.usefixtures("float64")
def test_equals_torchmetrics_where_all_classes_are_present(random_label, seed):
    scores, truth, reported = random_label(seed, cases=150)
    classes = scores.shape[1]
    truth[:classes] = range(classes)
    found = label_metrics(scores, truth, reported)
    known = torch.from_numpy(truth >= 0)
    both = torch.from_numpy(scores)[known], torch.from_numpy(truth)[known]
    binary = both[0][:, reported], (both[1] == reported).long()
    tp, fp, tn, fn, _ = torchmetrics.multiclass_stat_scores(*both, classes, average=None)[reported]
    exact = {
        "auc": torchmetrics.binary_auroc(*binary),
        "auprc": torchmetrics.binary_average_precision(*binary),
        "sens_at_90_spec": torchmetrics.binary_sensitivity_at_specificity(*binary, 0.9)[0],
        "macro_f1": torchmetrics.multiclass_f1_score(*both, classes),
        "sens": tp / (tp + fn),
        "spec": tn / (tn + fp),
        "prec": tp / max(tp + fp, 1),
    }
    rounded = {
        "sens": torchmetrics.multiclass_recall(*both, classes, average=None)[reported],
        "spec": torchmetrics.multiclass_specificity(*both, classes, average=None)[reported],
        "prec": torchmetrics.multiclass_precision(*both, classes, average=None)[reported],
        "balanced_accuracy": torchmetrics.multiclass_recall(*both, classes),
        "accuracy": torchmetrics.multiclass_accuracy(*both, classes, average="micro"),
    }
    for name, value in exact.items():
        assert found[name] == pytest.approx(float(value), abs=1e-9), name
    for name, value in rounded.items():
        # torchmetrics divides these counts in float32, whatever the scores are.
        assert found[name] == pytest.approx(float(value), abs=1.2e-7), name


@pytest.mark.filterwarnings("ignore:No positive samples in targets")
def test_an_absent_class_is_nothing_and_not_zero():
    """torchmetrics gives 0.0, and averages an absent class in if it was called."""
    scores, truth = np.eye(3)[[0, 2, 0]], np.array([0, 0, 0])
    both = torch.from_numpy(scores), torch.from_numpy(truth)
    assert torchmetrics.binary_auroc(both[0][:, 2], (both[1] == 2).long()) == 0
    assert torchmetrics.multiclass_recall(*both, 3, average=None)[2] == 0
    assert float(torchmetrics.multiclass_recall(*both, 3)) == pytest.approx(1 / 3)
    found = label_metrics(scores, truth, 2)
    for name in ("auc", "auprc", "sens", "prec", "sens_at_90_spec"):
        assert math.isnan(found[name]), name
    assert found["spec"] == found["balanced_accuracy"] == found["accuracy"] == 2 / 3
    assert found["macro_f1"] == pytest.approx(4 / 5, abs=1e-15)


# Laws


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.filterwarnings("error")
def test_unknown_cases_count_nowhere(random_label, seed):
    scores, truth, reported = random_label(seed)
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 3, size=(4, len(truth)))
    strange = rng.random((7, scores.shape[1]))
    more = np.concatenate([strange, scores]), np.concatenate([np.full(7, -1), truth])
    heavy = np.concatenate([rng.integers(0, 9, size=(4, 7)), weights], axis=1)
    same(label_metrics(*more, reported), label_metrics(scores, truth, reported))
    same(label_metrics(*more, reported, heavy), label_metrics(scores, truth, reported, weights))
    classes = scores.shape[1]
    assert support(more[1], reported, classes) == support(truth, reported, classes)


@pytest.mark.parametrize("seed", range(12))
def test_the_order_of_the_cases_does_not_matter(random_label, seed):
    scores, truth, reported = random_label(seed)
    order = np.random.default_rng(seed).permutation(len(truth))
    same(
        label_metrics(scores[order], truth[order], reported), label_metrics(scores, truth, reported)
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_order_of_the_classes_does_not_matter(random_label, seed):
    scores, truth, reported = random_label(3 * seed + 1)  # Without ties for the argmax.
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    place = np.argsort(order)
    moved = np.where(truth >= 0, place[truth], -1)
    same(
        label_metrics(scores[:, order], moved, int(place[reported])),
        label_metrics(scores, truth, reported),
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_two_classes_of_a_binary_label_mirror_each_other(random_label, seed):
    _, truth, _ = random_label(seed)
    truth = np.minimum(truth, 1)
    truth[:2] = 0, 1
    scores = two_columns(np.random.default_rng(seed).random(len(truth)).round(1))
    one, other = (label_metrics(scores, truth, reported) for reported in (0, 1))
    assert one["auc"] == pytest.approx(other["auc"], abs=1e-15)
    assert (one["sens"], one["spec"]) == (other["spec"], other["sens"])


def test_the_first_of_equal_scores_is_called():
    found = label_metrics(np.full((4, 2), 0.5), np.array([0, 0, 0, 1]), 0)
    assert (found["sens"], found["spec"], found["prec"], found["auc"]) == (1, 0, 0.75, 0.5)


def test_precision_of_an_empty_prediction_is_zero():
    assert label_metrics(*cells(0, 3, 0, 5), 1)["prec"] == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("truth", [[-1, -1], []])
def test_without_a_known_case_nothing_is_defined(truth):
    found = label_metrics(np.full((len(truth), 3), 1 / 3), np.array(truth, int), 1)
    assert list(found) == list(METRICS)
    assert all(math.isnan(value) for value in found.values())
    assert support(np.array(truth, int), 1, 3) == {
        "positives": 0,
        "known": 0,
        "classes": {0: 0, 1: 0, 2: 0},
    }


@pytest.mark.filterwarnings("error")
def test_without_negatives():
    found = label_metrics(*cells(2, 1, 0, 0), 1)
    assert [name for name in METRICS if math.isnan(found[name])] == [
        "auc",
        "spec",
        "sens_at_90_spec",
    ]
    assert (found["auprc"], found["prec"]) == (1, 1)


def test_support_by_hand():
    assert support(np.array([2, -1, 0, 2, -1]), 2, 4) == {
        "positives": 2,
        "known": 3,
        "classes": {0: 1, 1: 0, 2: 2, 3: 0},
    }
