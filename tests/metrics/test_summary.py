"""Summaries and paired comparisons of runs."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from sm3kit.core.errors import DataError
from sm3kit.metrics.per_label import METRICS, label_metrics
from sm3kit.metrics.summary import LabelScores, Predictions, compare, mean_auc, summarise


def binary(score, truth):
    score = np.array(score, float)
    return LabelScores(("ABS", "PRS"), "PRS", np.stack([1 - score, score], 1), np.array(truth))


def by_hand(**labels):
    count = len(next(iter(labels.values())).truth)
    return Predictions(labels, np.arange(count), np.arange(count))


def close(one, other):
    """Equal JSON, but for the last digits of numbers."""
    if isinstance(one, dict):
        assert set(one) == set(other)
        for name in one:
            close(one[name], other[name])
    elif isinstance(one, list):
        for ours, theirs in zip(one, other, strict=True):
            close(ours, theirs)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-12)
    else:
        assert one == other


# One run


def test_means_and_deviations_by_hand():
    """AUC 1, 0.5 and 0.75; the third label is only negative and has none."""
    found = summarise(
        by_hand(
            BWV=binary([0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0]),
            RS=binary([0.5, 0.5, 0.5, 0.5], [1, 0, 0, -1]),
            PN=binary([0.9, 0.2, 0.1, 0.5], [1, 1, 0, 0]),
            VS=binary([0.9, 0.2, 0.1, 0.5], [0, 0, 0, 0]),
        )
    )
    assert [one["auc"] for one in found["labels"].values()] == [1, 0.5, 0.75, None]
    mean = found["mean"]
    assert mean["auc"] == 0.75
    # (0.25^2 + 0.25^2 + 0) / (3 - 1)
    assert mean["std"] == mean["stds"]["auc"] == pytest.approx(math.sqrt(0.0625), abs=1e-15)
    assert mean["labels"] == mean["counted"]["auc"] == 3
    assert mean["counted"]["spec"] == mean["counted"]["accuracy"] == 4
    assert found["labels"]["RS"]["reported"] == "PRS"
    assert found["labels"]["RS"]["support"] == {
        "positives": 1,
        "known": 3,
        "classes": {"ABS": 2, "PRS": 1},
    }
    assert found["labels"]["VS"]["ci95"] == [None, None]


def test_the_record_has_the_same_parts_for_every_label(random_predictions):
    found = summarise(random_predictions(), resamples=50, seed=4)
    kept = {*METRICS, "ci95", "intervals", "interval_reason"}
    for one in found["labels"].values():
        assert set(one) == kept | {"reported", "classes", "left_out", "few", "rare", "support"}
    assert set(found["mean"]) == kept | {"std", "stds", "labels", "counted", "supported"}
    assert set(found["mean"]["intervals"]) == set(METRICS)
    rest = {name: found[name] for name in set(found) - {"labels", "mean"}}
    assert rest == {"cases": 60, "groups": 60, "min_positives": 1, "resamples": 50, "seed": 4}


def test_the_record_is_plain_json(random_predictions):
    found = summarise(random_predictions(), resamples=50)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_points_are_those_of_the_labels(random_predictions):
    predictions = random_predictions()
    found = summarise(predictions, resamples=20)
    for name, label in predictions.labels.items():
        expected = label_metrics(label.scores, label.truth, label.reported_index)
        close({metric: found["labels"][name][metric] for metric in METRICS}, expected)
    for metric in METRICS:
        each = [one[metric] for one in found["labels"].values()]
        assert found["mean"][metric] == pytest.approx(np.mean(each), abs=1e-12)
        assert found["mean"]["stds"][metric] == pytest.approx(np.std(each, ddof=1), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_intervals_hold_their_point(random_predictions, seed):
    found = summarise(random_predictions(seed), resamples=400)
    for one in [*found["labels"].values(), found["mean"]]:
        assert one["ci95"] == one["intervals"]["auc"]
        for metric in METRICS:
            low, high = one["intervals"][metric]
            assert low <= one[metric] <= high


def test_the_mean_is_surer_than_the_labels(random_predictions):
    found = summarise(random_predictions(), resamples=400)
    widths = [one["ci95"][1] - one["ci95"][0] for one in found["labels"].values()]
    low, high = found["mean"]["ci95"]
    assert high - low < min(widths)


def test_the_interval_of_an_auc_is_that_of_hanley_and_mcneil():
    """Their formula for 40 positives and 80 negatives; the two agree to about a tenth."""
    rng = np.random.default_rng(1)
    truth = np.repeat([1, 0], [40, 80])
    score = 1 / (1 + np.exp(-rng.normal(size=120) - 1.2 * truth))
    found = summarise(by_hand(MEL=binary(score, truth)))["mean"]
    auc = found["auc"]
    two, one = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + 39 * (two - auc**2) + 79 * (one - auc**2)
    width = 2 * 1.96 * math.sqrt(variance / (40 * 80))
    assert found["ci95"][1] - found["ci95"][0] == pytest.approx(width, rel=0.15)


def test_same_seed_same_intervals(random_predictions):
    first = summarise(random_predictions(), resamples=100, seed=1)
    assert summarise(random_predictions(), resamples=100, seed=1) == first
    other = summarise(random_predictions(), resamples=100, seed=2)
    assert other["mean"]["ci95"] != first["mean"]["ci95"]
    assert other["mean"]["auc"] == first["mean"]["auc"]


def test_no_resamples_no_intervals(random_predictions):
    found = summarise(random_predictions(), resamples=0)
    assert found["mean"]["ci95"] == [None, None]
    assert found["mean"]["auc"] == summarise(random_predictions(), resamples=10)["mean"]["auc"]


def test_the_order_of_labels_and_cases_does_not_matter(random_predictions):
    before = random_predictions()
    order = np.random.default_rng(0).permutation(60)
    labels = dict(reversed(before.labels.items()))
    after = replace(before, labels=labels).take(order)
    close(summarise(after, resamples=100), summarise(before, resamples=100))


def test_cases_that_are_there_twice_make_nothing_surer(random_predictions):
    """As copies of a patient they leave the interval as it was; as patients they narrow it."""
    once = random_predictions()
    rows = np.arange(60).repeat(2)
    labels = {
        name: replace(label, scores=label.scores[rows], truth=label.truth[rows])
        for name, label in once.labels.items()
    }
    ids = np.arange(120)
    grouped = summarise(Predictions(labels, ids, once.groups[rows]), resamples=400)["mean"]
    single = summarise(Predictions(labels, ids, ids), resamples=400)["mean"]
    assert grouped["ci95"] == pytest.approx(summarise(once, resamples=400)["mean"]["ci95"])
    narrow = single["ci95"][1] - single["ci95"][0]
    # Half the cases: the width grows by the root of two.
    assert (grouped["ci95"][1] - grouped["ci95"][0]) / narrow == pytest.approx(2**0.5, rel=0.15)


@pytest.mark.filterwarnings("error")
def test_a_label_without_a_known_case_has_nothing():
    known = binary([0.9, 0.2, 0.1, 0.5], [1, 0, 0, 0])
    none = binary([0.9, 0.2, 0.1, 0.5], [-1, -1, -1, -1])
    found = summarise(by_hand(BWV=known, RS=none))
    assert found["labels"]["RS"]["intervals"]["accuracy"] == [None, None]
    assert found["mean"]["labels"] == 1
    assert found["mean"]["std"] is None


def test_mean_auc(random_predictions):
    predictions = random_predictions()
    assert mean_auc(predictions) == summarise(predictions, resamples=0)["mean"]["auc"]
    assert math.isnan(mean_auc(by_hand(RS=binary([0.1, 0.9], [0, 0]))))


# Two runs


def test_a_run_is_no_better_than_itself(random_predictions):
    one = random_predictions()
    found = compare(one, one.take(np.arange(60)[::-1]), resamples=100)
    for entry in [*found["labels"].values(), found["mean"]]:
        for metric in METRICS:
            assert entry[metric] == 0
            assert entry["intervals"][metric] == [0, 0]
            assert entry["above_zero"][metric] == 0


def test_the_difference_is_second_minus_first(random_predictions):
    weak, strong = random_predictions(0, skill=0.3), random_predictions(0, skill=3)
    found = compare(weak, strong, resamples=200, seed=5)
    assert found["difference"] == "second minus first"
    one, other = (summarise(run, resamples=0) for run in (weak, strong))
    for metric in METRICS:
        more = other["mean"][metric] - one["mean"][metric]
        assert found["mean"][metric] == pytest.approx(more, abs=1e-12)
        for name in weak.labels:
            more = other["labels"][name][metric] - one["labels"][name][metric]
            assert found["labels"][name][metric] == pytest.approx(more, abs=1e-12)
    assert found["mean"]["auc"] > 0.1
    assert found["mean"]["ci95"][0] > 0
    assert found["mean"]["above_zero"]["auc"] == 1
    back = compare(strong, weak, resamples=200, seed=5)
    assert back["mean"]["ci95"] == pytest.approx([-end for end in found["mean"]["ci95"][::-1]])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_pairing_narrows_the_interval(random_predictions):
    """Two runs that are nearly the same differ by less than either is sure of itself."""
    one = random_predictions()
    shift = np.random.default_rng(0).normal(scale=0.01, size=(60, 1))
    labels = {name: replace(x, scores=x.scores + shift) for name, x in one.labels.items()}
    found = compare(one, replace(one, labels=labels), resamples=200)["mean"]["ci95"]
    alone = summarise(one, resamples=200)["mean"]["ci95"]
    assert found[1] - found[0] < (alone[1] - alone[0]) / 2


def test_a_comparison_counts_its_labels():
    known, none = binary([0.9, 0.1], [1, 0]), binary([0.9, 0.1], [0, 0])
    found = compare(by_hand(BWV=known, RS=none), by_hand(BWV=known, RS=none), resamples=10)
    assert found["mean"]["labels"] == 1
    assert found["labels"]["RS"]["auc"] is found["labels"]["RS"]["above_zero"]["auc"] is None


def changed(one, name, **changes):
    return replace(one, labels={**one.labels, name: replace(one.labels[name], **changes)})


AGAIN = "Predict the same split of the same data with both."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda one: one.take(np.arange(2, 60)),
            "A comparison needs two runs on the same cases. 2 of 60 cases are only in the first "
            f"and 0 of 58 only in the second, for example 'case 000'. {AGAIN}",
        ),
        (
            lambda one: replace(one, labels={"DIAG": one.labels["DIAG"]}),
            f"A comparison needs the same labels, not BWV, DIAG, PN and DIAG. {AGAIN}",
        ),
        (
            lambda one: changed(one, "BWV", reported="BWV0"),
            "A comparison needs the same classes of label 'BWV', not BWV0, BWV1 (reported: BWV1) "
            f"and BWV0, BWV1 (reported: BWV0). {AGAIN}",
        ),
        (
            lambda one: changed(one, "PN", truth=np.where(np.arange(60) == 7, -1, 1)),
            "A comparison needs the same truth, but label 'PN' differs in {} of 60 cases, first "
            f"'case 000'. {AGAIN}",
        ),
        (
            lambda one: replace(one, groups=np.array(["p", *one.groups[1:]])),
            "A comparison needs the same groups: case 'case 000' is of 'case 000' in the first "
            f"and of 'p' in the second. {AGAIN}",
        ),
    ],
)
def test_runs_that_cannot_be_compared(random_predictions, change, said):
    one = random_predictions()
    truth = one.labels["PN"].truth
    differing = int((truth != np.where(np.arange(60) == 7, -1, 1)).sum())
    with pytest.raises(DataError) as caught:
        compare(one, change(one))
    assert str(caught.value) == said.replace("{}", str(differing))
