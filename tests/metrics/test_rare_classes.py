"""Intervals where a class is rare: none of few patients, and one set of labels in every resample."""

from dataclasses import replace

import numpy as np
import pytest

from sm3kit.metrics.per_label import METRICS
from sm3kit.metrics.predictions import LabelScores, Predictions
from sm3kit.metrics.reporting import groups_of_class
from sm3kit.metrics.summary import compare, summarise, summarise_seeds

NOTHING = [None, None]
PATIENTS = 30


def binary(score, truth):
    score = np.array(score, float)
    return LabelScores(("ABS", "PRS"), "PRS", np.stack([1 - score, score], 1), np.array(truth))


def with_positives(count, cases=PATIENTS, seed=0, skill=0.3):
    """A label of which the first cases are positive; their scores are somewhat higher."""
    truth = (np.arange(cases) < count).astype(int)
    score = np.random.default_rng([seed, count]).uniform(0.1, 0.6, cases) + skill * truth
    return binary(score, truth)


def of_patients(groups=None, least=1, **labels):
    cases = len(next(iter(labels.values())).truth)
    ids = np.arange(cases)
    return Predictions(labels, ids, ids if groups is None else groups, least)


# By hand


def test_one_positive_of_fifteen_has_a_number_and_no_interval():
    scores = [0.9] + [0.1] * 14
    found = summarise(of_patients(VS=binary(scores, [1] + [0] * 14)))
    row = found["labels"]["VS"]
    assert row["auc"] == found["mean"]["auc"] == 1
    assert row["ci95"] == found["mean"]["ci95"] == NOTHING
    assert set(map(tuple, row["intervals"].values())) == {(None, None)}
    assert row["interval_reason"] == ("PRS has 1 positive and 14 negative groups, not 5 of each")
    assert found["mean"]["interval_reason"] == "it includes VS, without an interval"
    assert found["mean"]["supported"] is None


@pytest.mark.parametrize("few", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("turned", [False, True], ids=["positives", "negatives"])
def test_five_are_enough(few, turned):
    label = with_positives(PATIENTS - few if turned else few)
    row = summarise(of_patients(VS=label), 200)["labels"]["VS"]
    assert (row["ci95"] == NOTHING) == (few < 5)
    assert (row["interval_reason"] is None) == (few >= 5)
    assert row["auc"] is not None


def test_patients_count_and_not_their_cases():
    """Eight positive cases of four patients are four; a patient with both kinds counts for both."""
    label = with_positives(8)
    groups = np.arange(PATIENTS) // 2
    assert groups_of_class(label, groups, 1) == (4, 11)
    assert summarise(of_patients(groups, VS=label), 50)["mean"]["ci95"] == NOTHING
    assert summarise(of_patients(VS=label), 50)["mean"]["ci95"] != NOTHING
    mixed = np.array([0, 1, 2, 3, 4, 5, 6, 7] * 4)[:PATIENTS]
    assert groups_of_class(label, mixed, 1) == (8, 8)
    assert summarise(of_patients(mixed, VS=label), 50)["mean"]["ci95"] != NOTHING


def test_unknown_cases_are_no_negatives():
    label = with_positives(10)
    truth = np.where(np.arange(PATIENTS) < 14, label.truth, -1)
    assert groups_of_class(replace(label, truth=truth), np.arange(PATIENTS), 1) == (10, 4)
    row = summarise(of_patients(VS=replace(label, truth=truth)), 50)["labels"]["VS"]
    assert row["rare"] == {"PRS": [10, 4]}
    assert row["interval_reason"] == "PRS has 10 positive and 4 negative groups, not 5 of each"


# Against resampling with plain numpy


def auc(score, positive):
    """The share of pairs in the right order."""
    ours, others = score[positive][:, None], score[~positive][None]
    return ((ours > others) + 0.5 * (ours == others)).mean()


def drawn_means(labels, groups, resamples):
    """The mean AUC in each resample of groups that holds all classes of all labels."""
    groups = groups.astype(str)
    names = np.unique(groups)
    rng = np.random.default_rng(0)
    means = []
    for drawn in rng.integers(len(names), size=(resamples, len(names))):
        rows = np.concatenate([np.flatnonzero(groups == names[group]) for group in drawn])
        truths = [label.truth[rows] for label in labels]
        if all(0 < truth.sum() < len(truth) for truth in truths):
            scores = [label.scores[rows, 1] for label in labels]
            means.append(np.mean([auc(s, t == 1) for s, t in zip(scores, truths, strict=True)]))
    return np.array(means)


@pytest.mark.parametrize("patients", [PATIENTS, 20])
def test_the_interval_of_the_mean_is_of_resamples_that_hold_every_label(patients):
    labels = {"PN": with_positives(15), "VS": with_positives(5), "RS": with_positives(25, seed=3)}
    groups = np.arange(PATIENTS) % patients
    found = summarise(of_patients(groups, **labels), 500)
    values = drawn_means(list(labels.values()), groups, 500)
    assert 450 < len(values) < 500  # Some resamples have none of the rare class.
    # Sums of some ten numbers in float64.
    wanted = np.quantile(values, [0.025, 0.975])
    assert found["mean"]["ci95"] == pytest.approx(list(wanted), abs=1e-12)


def test_a_paired_difference_is_of_the_same_resamples():
    first = {"PN": with_positives(15), "VS": with_positives(5)}
    second = {"PN": with_positives(15, seed=1, skill=0.4), "VS": with_positives(5, seed=1)}
    groups = np.arange(PATIENTS)
    found = compare(of_patients(**first), of_patients(**second), 500)["mean"]
    one, other = (drawn_means(list(labels.values()), groups, 500) for labels in (first, second))
    assert len(one) == len(other) < 500
    wanted = np.quantile(other - one, [0.025, 0.975])
    assert found["ci95"] == pytest.approx(list(wanted), abs=1e-12)
    assert found["above_zero"]["auc"] == pytest.approx((other > one).mean(), abs=1e-12)


# The mean over labels of which some are rare


RARE = {"PN": with_positives(15), "VS": with_positives(2), "RS": with_positives(12)}


def test_a_mean_with_a_rare_label_leaves_its_interval_to_the_others():
    found = summarise(of_patients(**RARE), 200)
    others = summarise(of_patients(PN=RARE["PN"], RS=RARE["RS"]), 200)
    mean = found["mean"]
    assert mean["auc"] == pytest.approx(np.mean([row["auc"] for row in found["labels"].values()]))
    assert (mean["ci95"], mean["labels"]) == (NOTHING, 3)
    assert mean["interval_reason"] == "it includes VS, without an interval"
    part = mean["supported"]
    assert part["labels"] == ["PN", "RS"]
    for name in (*METRICS, "ci95", "intervals"):
        assert part[name] == others["mean"][name]
    assert others["mean"]["supported"] is others["mean"]["interval_reason"] is None
    for name in ("PN", "RS"):
        assert found["labels"][name] == others["labels"][name]


def test_so_does_a_difference_and_a_mean_over_seeds():
    other = {name: with_positives(int(row.truth.sum()), seed=4) for name, row in RARE.items()}
    both = [of_patients(**RARE), of_patients(**other)]
    pair = [of_patients(PN=labels["PN"], RS=labels["RS"]) for labels in (RARE, other)]
    found, wanted = compare(*both, 200)["mean"], compare(*pair, 200)["mean"]
    assert (found["ci95"], found["above_zero"]["auc"]) == (NOTHING, None)
    assert found["supported"]["ci95"] == wanted["ci95"]
    assert found["supported"]["above_zero"] == wanted["above_zero"]
    found, wanted = summarise_seeds(both, 200)["mean"], summarise_seeds(pair, 200)["mean"]
    assert found["ci95"] == NOTHING
    assert found["supported"]["ci95"] == wanted["ci95"]


def test_a_label_without_a_number_takes_no_interval_away():
    """All cases of VS are negative: it has no AUC, so the mean AUC is not of it."""
    nothing = with_positives(0)
    found = summarise(of_patients(PN=RARE["PN"], VS=nothing), 200)["mean"]
    alone = summarise(of_patients(PN=RARE["PN"]), 200)["mean"]
    assert found["ci95"] == alone["ci95"]
    assert (found["interval_reason"], found["supported"]) == (None, None)
    # Its specificity is defined, and part of that mean.
    assert found["counted"]["spec"] == 2
    assert found["intervals"]["spec"] == NOTHING


def test_too_few_resamples_that_hold_everything_are_no_interval():
    """A resample lacks one of 160 classes of five patients with probability 1 - 0.9934^160 = 0.65."""
    labels = {}
    for place in range(160):
        rng = np.random.default_rng(place)
        truth = np.isin(np.arange(200), rng.choice(200, 5, replace=False))
        labels[f"L{place}"] = binary(rng.uniform(size=200), truth.astype(int))
    found = summarise(of_patients(**labels), 100)
    assert NOTHING not in [row["ci95"] for row in found["labels"].values()]
    assert found["mean"]["ci95"] == NOTHING
    assert found["mean"]["interval_reason"] == (
        "fewer than half of the resamples contain all its classes"
    )


# Labels that are the mean over their classes


def several(counts, seed=0):
    truth = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(seed)
    odds = np.exp(rng.normal(size=(len(truth), len(counts))) + np.eye(len(counts))[truth])
    names = tuple("abcdefg"[: len(counts)])
    return LabelScores(names, "", odds / odds.sum(1, keepdims=True), truth)


def test_each_class_of_a_mean_needs_five():
    found = summarise(of_patients(site=several((14, 12, 4))), 100)["labels"]["site"]
    assert found["ci95"] == NOTHING
    assert found["interval_reason"] == ("c has 4 positive and 26 negative groups, not 5 of each")
    # A class that is not measured does not matter.
    found = summarise(of_patients(least=5, site=several((14, 12, 4))), 100)["labels"]["site"]
    assert found["classes"] == ["a", "b"]
    assert found["interval_reason"] is None
    assert found["ci95"] != NOTHING


def test_resamples_that_lack_a_class_of_a_mean_do_not_count():
    label = several((13, 12, 5))
    found = summarise(of_patients(site=label), 500)["labels"]["site"]
    values = []
    order = np.argsort(np.arange(30).astype(str))
    for rows in order[np.random.default_rng(0).integers(30, size=(500, 30))]:
        truth = label.truth[rows]
        if len(np.unique(truth)) == 3:
            aucs = [auc(label.scores[rows, place], truth == place) for place in range(3)]
            values.append(np.mean(aucs))
    assert 450 < len(values) < 500
    assert found["ci95"] == pytest.approx(list(np.quantile(values, [0.025, 0.975])), abs=1e-12)


def test_a_mean_over_all_classes_needs_five_of_all_of_them():
    """The balanced accuracy is of all classes, and the AUC of the reported one alone."""
    label = replace(several((14, 12, 4)), reported="a")
    found = summarise(of_patients(DIAG=label), 100)["labels"]["DIAG"]
    assert found["ci95"] != NOTHING
    assert found["intervals"]["balanced_accuracy"] == found["intervals"]["macro_f1"] == NOTHING
    label = replace(several((13, 12, 5)), reported="a")
    found = summarise(of_patients(DIAG=label), 100)["labels"]["DIAG"]
    assert found["intervals"]["balanced_accuracy"] != NOTHING


# What is not rare


def test_intervals_of_frequent_classes_are_those_that_were_published(random_predictions):
    """Numbers of version 0.1, where no resample lacks a class."""
    one, other = random_predictions(0, 200), random_predictions(1, 200)
    found = summarise(one, 400)["mean"]
    assert found["ci95"] == [0.782561460505946, 0.8665916527981854]
    assert found["intervals"]["macro_f1"] == [0.5973239007789762, 0.6880230103154593]
    pair = [
        replace(run, labels={n: replace(x, reported="") for n, x in run.labels.items()})
        for run in (one, other)
    ]
    found = compare(*pair, 400)["mean"]
    assert found["ci95"] == [-0.028624462262224516, 0.06848262712601579]
    assert found["above_zero"]["auc"] == 0.7925
