"""Thresholds: calls and metrics by hand, the best one against all, nested folds that are honest."""

import itertools

import numpy as np
import pytest
from sklearn import metrics as sklearn

from sm3kit.core.errors import DataError
from sm3kit.metrics.calls import called_classes
from sm3kit.metrics.folds import group_folds
from sm3kit.metrics.per_label import METRICS, label_metrics
from sm3kit.metrics.predictions import LabelScores, Predictions
from sm3kit.metrics.summary import summarise
from sm3kit.metrics.thresholds import best_threshold, fit_thresholds, reached

BY_CALLS = ("sens", "spec", "prec", "balanced_accuracy", "macro_f1", "accuracy")
SCORES = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.4, 0.35, 0.25], [0.2, 0.2, 0.6]])
TRUTH = np.array([0, 1, 2, 2])


def by_thresholds(thresholds, **changes):
    return LabelScores(("a", "b", "c"), "b", SCORES, TRUTH, np.array(thresholds), **changes)


# Calls


def test_calls_by_hand():
    """A case reaches several classes, or none; NaN leaves a class to the most likely one."""
    assert called_classes(SCORES, np.array([0.45, 0.3, 0.65])).tolist() == [
        [True, False, False],
        [True, True, False],
        [False, True, False],
        [False, False, False],
    ]
    likely = called_classes(SCORES)
    assert likely.argmax(1).tolist() == [0, 0, 0, 2]
    mixed = called_classes(SCORES, np.array([np.nan, 0.3, np.nan]))
    assert np.array_equal(mixed[:, [0, 2]], likely[:, [0, 2]])
    assert mixed[:, 1].tolist() == [False, True, True, False]


def test_metrics_by_hand():
    """Class b: 1 of 1 hit, 1 false alarm among 3; a: 1 of 1, 1 of 3; c: 0 of 2, none."""
    metrics = label_metrics(SCORES, TRUTH, 1, thresholds=np.array([0.45, 0.3, 0.65]))
    assert metrics["sens"] == 1
    assert metrics["spec"] == pytest.approx(2 / 3, abs=1e-15)
    assert metrics["prec"] == 0.5
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3, abs=1e-15)
    assert metrics["balanced_accuracy"] == pytest.approx((5 / 6 + 5 / 6 + 1 / 2) / 3, abs=1e-15)
    assert metrics["accuracy"] == 0.25  # Only the first is called its own class and no other.


@pytest.mark.parametrize("seed", range(20))
def test_macro_f1_is_that_of_scikit_learn(random_label, seed):
    scores, truth, reported = random_label(seed)
    known = truth >= 0
    if not known.any():
        return
    thresholds = np.random.default_rng(seed).uniform(0, 0.8, scores.shape[1])
    metrics = label_metrics(scores, truth, reported, thresholds=thresholds)
    true = np.eye(scores.shape[1], dtype=int)[truth[known]]
    called = (scores[known] >= thresholds).astype(int)
    present = [index for index in range(scores.shape[1]) if true[:, index].any()]
    f1 = sklearn.f1_score(true, called, average="macro", labels=present, zero_division=0)
    assert metrics["macro_f1"] == pytest.approx(f1, abs=1e-12)
    exact = sklearn.accuracy_score(true, called)
    assert metrics["accuracy"] == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_thresholds_change_no_metric_of_the_ranking(random_label, seed):
    scores, truth, reported = random_label(seed)
    before = label_metrics(scores, truth, reported)
    after = label_metrics(scores, truth, reported, thresholds=np.full(scores.shape[1], 0.2))
    for metric in set(METRICS) - set(BY_CALLS):
        assert np.array_equal(before[metric], after[metric], equal_nan=True)
    # Of two classes, thresholds of a half are the most likely class.
    if scores.shape[1] == 2 and not (scores == 0.5).any():
        same = label_metrics(scores, truth, reported, thresholds=np.array([0.5, 0.5]))
        for metric in METRICS:
            np.testing.assert_allclose(same[metric], before[metric], atol=1e-12)


def test_resamples_follow_the_thresholds():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(3), 60)
    truth = rng.integers(3, size=60)
    weights = rng.integers(3, size=(5, 60))
    thresholds = np.array([0.3, 0.2, np.nan])
    found = label_metrics(scores, truth, 1, weights, thresholds)
    for row, weight in enumerate(weights):
        drawn = np.repeat(np.arange(60), weight)
        alone = label_metrics(scores[drawn], truth[drawn], 1, thresholds=thresholds)
        for metric in BY_CALLS:
            assert found[metric][row] == pytest.approx(alone[metric], abs=1e-12)


# On disk, and in a summary


def test_thresholds_are_kept(tmp_path):
    ids = np.array(["a", "b", "c", "d"])
    before = Predictions({"x": by_thresholds([0.45, np.nan, 0.65])}, ids, ids)
    before.save(tmp_path / "t.npz")
    after = Predictions.load(tmp_path / "t.npz").labels["x"]
    assert np.array_equal(after.thresholds, [0.45, np.nan, 0.65], equal_nan=True)
    assert np.array_equal(after.called, before.labels["x"].called)
    part = Predictions.load(tmp_path / "t.npz").take(np.array([2, 0])).labels["x"]
    assert np.array_equal(part.called, after.called[[2, 0]])


def test_a_summary_follows_them():
    ids = np.array(["a", "b", "c", "d"])
    label = by_thresholds([0.45, 0.3, 0.65])
    mean = summarise(Predictions({"x": label}, ids, ids), resamples=2)["mean"]
    assert (mean["sens"], mean["prec"]) == (1, 0.5)


def test_a_threshold_for_each_class():
    ids = np.array(["a", "b", "c", "d"])
    with pytest.raises(DataError) as caught:
        Predictions({"x": by_thresholds([0.1, 0.2])}, ids, ids)
    assert str(caught.value) == ("Label 'x' needs a threshold for each of its 3 classes, not (2,).")


# The best one


def test_the_best_threshold_by_hand():
    """F1 at .9, .8, .6, .4, .1: 2/3, .5, .8, .67, .57; Youden (times 6): 3, 1, 4, 2, 0."""
    score = np.array([0.9, 0.8, 0.6, 0.4, 0.1])
    positive = np.array([True, False, True, False, False])
    for goal in ("f1", "youden"):
        assert best_threshold(score, positive, goal) == pytest.approx(0.5)
    assert np.isnan(best_threshold(score, np.ones(5, bool), "f1"))


def test_of_equal_thresholds_the_highest():
    """Calling 1 of 2 positives, or both and 1 of 2 negatives: J is a half each."""
    score = np.array([0.8, 0.6, 0.4, 0.2])
    positive = np.array([True, False, True, False])
    assert best_threshold(score, positive, "youden") == pytest.approx(0.7)


@pytest.mark.parametrize("goal", ["f1", "youden"])
@pytest.mark.parametrize("seed", range(10))
def test_no_threshold_is_better(goal, seed):
    rng = np.random.default_rng(seed)
    score = rng.random(40).round(1 if seed % 2 else 6)
    positive = rng.random(40) < 0.3
    positive[:2] = True, False
    best = reached(score >= best_threshold(score, positive, goal), positive, goal)
    others = [reached(score >= t, positive, goal) for t in np.linspace(0, 1.01, 2000)]
    assert best == pytest.approx(max(others), abs=1e-12)


def test_two_scores_without_a_number_between():
    low, high = 0.3, np.nextafter(0.3, 1)
    t = best_threshold(np.array([low, high]), np.array([False, True]), "f1")
    assert low < t <= high


# Folds


def test_folds_keep_groups_together_and_spread_classes():
    rng = np.random.default_rng(0)
    groups = np.array([f"g{n}" for n in rng.integers(40, size=100)])
    strata = np.array([int(name[1:]) < 8 for name in groups], int)  # Eight groups of a class.
    fold = group_folds(groups, strata, 5, 0)
    assert {len(set(fold[groups == name])) for name in set(groups)} == {1}
    rare = [len(set(groups[(fold == n) & (strata == 1)])) for n in range(5)]
    assert max(rare) - min(rare) <= 1
    order = rng.permutation(100)
    assert np.array_equal(group_folds(groups[order], strata[order], 5, 0), fold[order])
    assert not np.array_equal(group_folds(groups, strata, 5, 1), fold)
    assert set(group_folds(np.array(["a", "b"]), np.zeros(2, int), 5, 0)) == {0, 1}


# Fitting


def label_of(scores, truth):
    names = tuple("abcde"[: scores.shape[1]])
    return LabelScores(names, names[0], scores, truth)


def drawn(seed, count=200, skill=1.0, shares=(0.7, 0.2, 0.1)):
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(shares), size=count, p=shares)
    logits = rng.normal(size=(count, len(shares))) + skill * np.eye(len(shares))[truth]
    logits += np.log(shares)
    odds = np.exp(logits)
    return odds / odds.sum(1, keepdims=True), truth


def test_the_median_over_the_folds():
    scores, truth = drawn(0)
    groups = np.arange(200)
    found = fit_thresholds(label_of(scores, truth), groups, "f1")
    fold = group_folds(groups, truth, 5, 0)
    called = np.zeros((200, 3), bool)
    tables = []
    for number in range(5):
        rest = fold != number
        row = [best_threshold(scores[rest, n], truth[rest] == n, "f1") for n in range(3)]
        tables.append(row)
        called[~rest] = scores[~rest] >= row
    np.testing.assert_allclose(found.values, np.median(tables, axis=0), atol=1e-15)
    nested = np.mean([reached(called[:, n], truth == n, "f1") for n in range(3)])
    assert found.nested == pytest.approx(nested, abs=1e-12)


def test_what_knows_nothing_gains_nothing_by_nested_folds():
    """Fitted to the very cases Youden's index is above zero, whatever the scores."""
    naive, nested = [], []
    for seed in range(100):
        scores, truth = drawn(seed, skill=0.0)
        found = fit_thresholds(label_of(scores, truth), np.arange(200), "youden")
        naive.append(found.naive)
        nested.append(found.nested)
    assert np.mean(naive) > 0.08
    assert abs(np.mean(nested)) < 0.02  # Its standard error is 0.006.


def test_copies_of_a_patient_do_not_help():
    """Five copies of each case, as one group, give the score of the cases alone."""
    scores, truth = drawn(1, skill=0.0)
    alone = fit_thresholds(label_of(scores, truth), np.arange(200), "youden")
    copies = np.repeat(np.arange(200), 5)
    found = fit_thresholds(label_of(scores[copies], truth[copies]), copies, "youden")
    np.testing.assert_allclose(found.values, alone.values, atol=1e-15)
    assert found.nested == pytest.approx(alone.nested, abs=1e-12)


def test_a_rare_class_gets_none():
    scores, truth = drawn(0, count=60, shares=(0.6, 0.38, 0.02))
    truth[truth == 2] = 0
    truth[:4] = 2
    found = fit_thresholds(label_of(scores, truth), np.arange(60), "f1")
    assert np.isnan(found.values).tolist() == [False, False, True]
    # Five images of one patient are one patient.
    truth[:8] = 2
    groups = np.arange(60)
    groups[:8] = 0
    assert np.isnan(fit_thresholds(label_of(scores, truth), groups, "f1").values[2])
    assert not np.isnan(fit_thresholds(label_of(scores, truth), np.arange(60), "f1").values[2])


def test_without_known_cases():
    found = fit_thresholds(label_of(SCORES, np.full(4, -1)), np.arange(4), "f1")
    assert np.isnan(found.values).all() and np.isnan(found.nested)


def test_the_same_in_any_order_and_unknown_cases_count_nowhere():
    scores, truth = drawn(3)
    groups = np.arange(200).astype(str)
    found = fit_thresholds(label_of(scores, truth), groups, "f1", seed=2)
    order = np.random.default_rng(0).permutation(200)
    again = fit_thresholds(label_of(scores[order], truth[order]), groups[order], "f1", seed=2)
    assert np.array_equal(found.values, again.values)
    more = np.concatenate([scores, scores[:50]])
    unknown = np.concatenate([truth, np.full(50, -1)])
    with_unknown = np.concatenate([groups, [f"u{n}" for n in range(50)]])
    again = fit_thresholds(label_of(more, unknown), with_unknown, "f1", seed=2)
    assert np.array_equal(found.values, again.values)


def test_rare_classes_are_found_more_often():
    """What thresholds are for: the most likely class hardly ever is the rare one."""
    scores, truth = drawn(5, count=1000)
    found = fit_thresholds(label_of(scores, truth), np.arange(1000), "f1")
    assert found.nested > found.likely + 0.03
    fresh, true = drawn(6, count=1000)
    called = called_classes(fresh, found.values)
    f1 = np.mean([reached(called[:, n], true == n, "f1") for n in range(3)])
    likely = called_classes(fresh)
    before = np.mean([reached(likely[:, n], true == n, "f1") for n in range(3)])
    assert f1 > before + 0.03
    for n, m in itertools.pairwise(range(3)):
        assert found.values[n] > found.values[m]  # Rarer classes have lower ones.
