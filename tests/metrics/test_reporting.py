"""Which classes the numbers of a label are of; checked against scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from sm3kit.core.errors import DataError
from sm3kit.evaluation.record_text import (
    interval_note,
    mean_text,
    reported_name,
    reporting_notes,
    support_text,
    supported_name,
)
from sm3kit.metrics.per_label import METRICS, label_metrics
from sm3kit.metrics.per_label import mean_metrics as of_weightings
from sm3kit.metrics.predictions import LabelScores, Predictions
from sm3kit.metrics.reporting import (
    classes_with_enough,
    describe,
    measured_classes,
    metrics_of,
)
from sm3kit.metrics.summary import compare, mean_auc, summarise, summarise_seeds

COUNTS = (40, 25, 12, 3, 0)
CLASSES = ("A", "B", "C", "D", "E")
GROUPS = np.arange(85) // 2


@pytest.fixture
def several():
    """several(reported, seed) gives 85 cases of five classes, of which two are rare; 5 unknown."""

    def make(reported="", seed=0):
        truth = np.concatenate([np.repeat(range(5), COUNTS), np.full(5, -1)])
        rng = np.random.default_rng(seed)
        odds = np.exp(rng.normal(size=(85, 5)) + 1.5 * np.eye(5)[truth])
        return LabelScores(CLASSES, reported, odds / odds.sum(1, keepdims=True), truth)

    return make


def predictions(least=10, **labels):
    ids = np.arange(85)
    return Predictions(labels, ids, ids // 2, least)


def mean_metrics(scores, truth, classes):
    found = of_weightings(scores, truth, classes, np.ones((1, len(truth))))
    return {name: float(value) for name, (value,) in found.items()}


def of_scikit_learn(label, classes):
    known = label.truth >= 0
    scores, truth = label.scores[known], label.truth[known]
    called = scores.argmax(1)

    def mean(of):
        return np.mean([of(truth == one, scores[:, one], called == one) for one in classes])

    def at_90(true, score, _):
        alarms, hits, _ = roc_curve(true, score, drop_intermediate=False)
        return hits[alarms <= 0.1].max()

    among = {"labels": list(classes), "average": "macro", "zero_division": 0}
    return {
        "auc": mean(lambda true, score, _: roc_auc_score(true, score)),
        "auprc": mean(lambda true, score, _: average_precision_score(true, score)),
        "sens_at_90_spec": mean(at_90),
        "sens": recall_score(truth, called, **among),
        "spec": mean(lambda true, _, says: recall_score(~true, ~says)),
        "prec": precision_score(truth, called, **among),
        "balanced_accuracy": recall_score(truth, called, **among),
        "macro_f1": f1_score(truth, called, **among),
        "accuracy": float((called == truth).mean()),
    }


# Which classes


@pytest.mark.parametrize(
    ("counts", "least", "wanted"),
    [
        (COUNTS, 10, (0, 1, 2)),
        (COUNTS, 12, (0, 1, 2)),
        (COUNTS, 13, (0, 1)),
        (COUNTS, 1, (0, 1, 2, 3)),
        (COUNTS, 41, ()),
        # The rest counts as well: an AUC of 95 against 5 is as unsure as one of 5 against 95.
        ((95, 5), 10, ()),
        ((90, 10), 10, (0, 1)),
        ((95, 3, 2), 5, (0,)),
        ((30,), 1, ()),
        ((), 1, ()),
        ((3, 0), 0, ()),
    ],
)
def test_classes_with_enough(counts, least, wanted):
    assert classes_with_enough(counts, least) == wanted


def test_a_chosen_class_is_measured_whatever_it_has(several):
    assert measured_classes(several("D"), 10) == (3,)
    assert measured_classes(several(), 10) == (0, 1, 2)


# Their numbers


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("least", [1, 10, 20])
def test_all_nine_metrics_are_those_of_scikit_learn(several, seed, least):
    label = several(seed=seed)
    found = metrics_of(label, least)
    assert list(found) == list(METRICS)
    # Sums of a few numbers in float64.
    assert found == pytest.approx(of_scikit_learn(label, measured_classes(label, least)), abs=1e-12)


def test_with_all_classes_the_auc_is_that_of_scikit_learn_for_several_classes(several):
    label = several()
    known = label.truth >= 0
    there = label.scores[known][:, :4]
    scores, truth = there / there.sum(1, keepdims=True), label.truth[known]
    found = mean_metrics(scores, truth, range(4))
    wanted = roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert found["auc"] == pytest.approx(wanted, abs=1e-12)
    wanted = balanced_accuracy_score(truth, scores.argmax(1))
    assert found["balanced_accuracy"] == pytest.approx(wanted, abs=1e-12)


def test_of_two_classes_the_auc_is_one_and_the_others_are_means(several):
    label = several()
    odds = label.scores[:, :2] / label.scores[:, :2].sum(1, keepdims=True)
    truth = np.where(label.truth > 1, -1, label.truth)
    each = [label_metrics(odds, truth, one) for one in (0, 1)]
    found = mean_metrics(odds, truth, (0, 1))
    assert found["auc"] == pytest.approx(each[1]["auc"], abs=1e-12)
    both = (each[0]["sens"] + each[1]["sens"]) / 2
    assert found["sens"] == found["spec"] == pytest.approx(both, abs=1e-12)


def test_a_mean_over_one_class_is_the_class(several):
    label = several()
    one = label_metrics(label.scores, label.truth, 2)
    found = mean_metrics(label.scores, label.truth, (2,))
    # Those that are not of a class are of the classes that are measured.
    for metric in set(METRICS) - {"balanced_accuracy", "macro_f1"}:
        assert found[metric] == one[metric]
    assert found["balanced_accuracy"] == one["sens"]


@pytest.mark.parametrize("seed", range(4))
def test_each_weighting_is_a_table_of_its_own(several, seed):
    label = several(seed=seed)
    weights = np.random.default_rng(seed).integers(0, 3, size=(5, 85))
    found = metrics_of(label, 10, weights)
    for place, times in enumerate(weights):
        rows = np.arange(85).repeat(times)
        again = replace(label, scores=label.scores[rows], truth=label.truth[rows])
        wanted = mean_metrics(again.scores, again.truth, measured_classes(label, 10))
        assert {name: values[place] for name, values in found.items()} == pytest.approx(wanted)


@pytest.mark.filterwarnings("error")
def test_without_a_class_nothing_is_defined(several):
    found = metrics_of(several(), 41, np.ones((3, 85)))
    assert all(np.isnan(values).all() and len(values) == 3 for values in found.values())


# What a record says


def test_what_a_record_says_of_a_mean(several):
    row = describe(several(), GROUPS, 10)
    assert (row["reported"], row["classes"], row["few"]) == (None, ["A", "B", "C"], False)
    assert row["left_out"] == {"D": 3, "E": 0}
    counts = dict(zip(CLASSES, COUNTS, strict=True))
    assert row["support"] == {"positives": None, "known": 80, "classes": counts}
    assert (reported_name(row), support_text(row)) == ("mean of 3", "80")


@pytest.mark.parametrize(("reported", "few"), [("B", False), ("C", False), ("D", True)])
def test_what_a_record_says_of_a_chosen_class(several, reported, few):
    row = describe(several(reported), GROUPS, 10)
    assert (row["reported"], row["classes"], row["few"]) == (reported, [reported], few)
    assert row["left_out"] == {}
    assert reported_name(row) == reported
    assert support_text(row) == f"{COUNTS[CLASSES.index(reported)]}/80"


def test_notes(several):
    named = {"site": "", "few": "C", "rare": "D", "never": "E", "fine": "A"}
    aucs = {**dict.fromkeys(named, 0.5), "never": None}
    rows = {
        name: describe(several(reported), GROUPS, 20) | {"auc": aucs[name]}
        for name, reported in named.items()
    }
    # The rare one has no interval, which a warning says.
    assert reporting_notes(rows, 20) == [
        "Uncertain, with fewer than 20 positive or 20 negative studies: few C (12/80).",
        "No AUC without both positive and negative studies: never E (0/80).",
        "The mean of a label leaves out classes with fewer than 20 studies: site (C 12, D 3, E 0).",
    ]
    rows = {name: describe(several(), GROUPS, 41) | {"auc": None} for name in ("site", "side")}
    (note,) = reporting_notes(rows, 41)
    counts = "(A 40, B 25, C 12, D 3, E 0)"
    assert note == (
        "No result where no class has 41 studies and 41 of other classes: "
        f"site {counts}, side {counts}. To accept fewer: -o evaluate.min_positives=N."
    )


def test_the_note_on_labels_without_an_interval(several):
    few = replace(several("D"), reported="D")
    found = summarise(predictions(DIAG=few, fine=several("A", 1), site=several(seed=2)), 50)
    assert interval_note(found) == (
        "No interval for DIAG, nor for a mean that includes it: fewer than 5 positive or 5 "
        "negative patients or lesions. The mean of 2 is over the other labels."
    )
    assert supported_name(found["mean"]["supported"]) == "mean of 2"
    assert interval_note(summarise(predictions(DIAG=few), 50)) == (
        "No interval for DIAG, nor for a mean that includes it: fewer than 5 positive or 5 "
        "negative patients or lesions."
    )
    assert interval_note(summarise(predictions(fine=several("A")), 50)) == ""


# Where they go


def test_a_label_without_a_number_enters_no_mean(several):
    found = summarise(predictions(26, site=several(), DIAG=several("A", 1)), resamples=20)
    assert found["labels"]["site"]["auc"] is not None  # A has 40.
    found = summarise(predictions(41, site=several(), DIAG=several("A", 1)), resamples=20)
    site = found["labels"]["site"]
    assert all(site[metric] is None for metric in METRICS)
    assert site["intervals"]["accuracy"] == [None, None]
    assert found["mean"]["auc"] == found["labels"]["DIAG"]["auc"]
    assert mean_text(found) == "1 of 2"
    assert found["min_positives"] == 41


@pytest.mark.parametrize("metric", METRICS)
def test_intervals_hold_the_mean(several, metric):
    found = summarise(predictions(site=several()), resamples=200)
    low, high = found["labels"]["site"]["intervals"][metric]
    assert low <= found["labels"]["site"][metric] <= high
    assert found["mean"][metric] == found["labels"]["site"][metric]
    assert mean_text(found) == "1 labels"


def test_a_comparison_goes_by_the_same_classes(several):
    runs = [predictions(site=several(seed=seed)) for seed in (0, 1)]
    found = compare(*runs, resamples=20)
    one, other = (summarise(run, 0)["labels"]["site"] for run in runs)
    assert found["labels"]["site"]["auc"] == pytest.approx(other["auc"] - one["auc"], abs=1e-12)
    assert found["labels"]["site"]["classes"] == ["A", "B", "C"]
    with pytest.raises(DataError) as caught:
        compare(runs[0], replace(runs[1], min_positives=5), resamples=20)
    assert str(caught.value) == (
        "A comparison needs the same min_positives for both, not 10 and 5. Evaluate one of them again "
        "with -o evaluate.min_positives=10."
    )


def test_seeds_are_averaged(several):
    runs = [predictions(site=several(seed=seed)) for seed in range(3)]
    found = summarise_seeds(runs, resamples=20)["labels"]["site"]
    each = [mean_auc(run) for run in runs]
    assert found["auc"] == pytest.approx(np.mean(each), abs=1e-12)
    assert found["spread"]["auc"] == pytest.approx(np.std(each, ddof=1), abs=1e-12)


def test_the_file_keeps_what_is_enough(several, tmp_path):
    before = predictions(12, site=several())
    before.save(tmp_path / "a.npz")
    after = Predictions.load(tmp_path / "a.npz")
    assert (after.min_positives, after.labels["site"].reported) == (12, "")
    assert after.take(np.arange(10)).min_positives == 12
