"""Several seeds of one system: their mean, their spread, and what they have more than others."""

import json
import math

import numpy as np
import pytest

from sm3kit.core.errors import DataError
from sm3kit.metrics.per_label import METRICS
from sm3kit.metrics.resampled import resample
from sm3kit.metrics.summary import (
    LabelScores,
    Predictions,
    compare,
    compare_seeds,
    summarise,
    summarise_seeds,
    summary_of,
    summary_of_difference,
)


def one_label(score, truth=(1, 1, 0, 0)):
    score = np.array(score, float)
    label = LabelScores(("ABS", "PRS"), "PRS", np.stack([1 - score, score], 1), np.array(truth))
    return Predictions({"BWV": label}, np.arange(len(truth)), np.arange(len(truth)))


def without(record, *names):
    """A record without some keys, at any depth."""
    if not isinstance(record, dict):
        return record
    return {name: without(one, *names) for name, one in record.items() if name not in names}


@pytest.mark.parametrize("resamples", [0, 60])
def test_one_seed_is_exactly_a_run(random_predictions, resamples):
    first, second = random_predictions(0), random_predictions(1, skill=2)
    alone = summarise_seeds([first], resamples, 3)
    assert without(alone, "spread", "seeds") == summarise(first, resamples, 3)
    assert alone["seeds"] == 1
    assert set(alone["mean"]["spread"].values()) == {None}
    more = compare_seeds([first], [second], resamples, 3)
    assert without(more, "seeds") == compare(first, second, resamples, 3)
    assert more["seeds"] == [1, 1]


def test_mean_and_spread_by_hand():
    """AUC 1, 0.75 and 0.5: mean 0.75, deviation 0.25; the argmax is right in 4, 3, 2 of 4."""
    runs = [one_label([0.9, 0.8, 0.1, 0.2]), one_label([0.9, 0.2, 0.1, 0.3])]
    runs.append(one_label([0.9, 0.1, 0.2, 0.8]))
    found = summarise_seeds(runs, 20)
    assert [summarise(run, 0)["mean"]["auc"] for run in runs] == [1, 0.75, 0.5]
    for part in (found["labels"]["BWV"], found["mean"]):
        assert part["auc"] == 0.75
        assert part["spread"]["auc"] == pytest.approx(0.25, abs=1e-15)
        assert part["accuracy"] == 0.75
        assert part["spread"]["accuracy"] == pytest.approx(0.25, abs=1e-15)
    assert found["seeds"] == 3
    assert found["labels"]["BWV"]["support"]["positives"] == 2


def test_the_interval_is_of_the_mean_over_seeds_in_each_resample(random_predictions):
    runs = [random_predictions(seed) for seed in range(3)]
    found = summarise_seeds(runs, 200, 5)
    drawn = [resample([run], 200, 5).means()["PN"]["auc"] for run in runs]
    values = np.mean(drawn, axis=0)
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    assert found["labels"]["PN"]["ci95"] == pytest.approx([low, high], abs=1e-12)
    assert found["labels"]["PN"]["auc"] == values[0]


def test_the_difference_is_that_of_the_means(random_predictions):
    """Also with different numbers of seeds, and in another order of the cases."""
    firsts = [random_predictions(seed) for seed in range(3)]
    seconds = [random_predictions(seed, skill=3).take(np.arange(60)[::-1]) for seed in (7, 8)]
    more = compare_seeds(firsts, seconds, 100)
    one, other = summarise_seeds(firsts, 0), summarise_seeds(seconds, 0)
    for metric in METRICS:
        expected = other["mean"][metric] - one["mean"][metric]
        assert more["mean"][metric] == pytest.approx(expected, abs=1e-12)
    assert more["seeds"] == [3, 2]
    assert more["mean"]["above_zero"]["auc"] == 1
    low, high = more["mean"]["ci95"]
    assert 0 < low < more["mean"]["auc"] < high


def test_a_system_and_itself_differ_by_nothing(random_predictions):
    runs = [random_predictions(seed) for seed in range(3)]
    more = compare_seeds(runs, runs[::-1], 50)
    assert more["mean"]["ci95"] == pytest.approx([0, 0], abs=1e-12)


def test_the_order_of_the_seeds_changes_nothing(random_predictions):
    runs = [random_predictions(seed) for seed in range(3)]
    one, other = summarise_seeds(runs, 50), summarise_seeds(runs[::-1], 50)
    assert one["mean"]["auc"] == pytest.approx(other["mean"]["auc"], abs=1e-15)
    assert one["mean"]["spread"]["auc"] == pytest.approx(other["mean"]["spread"]["auc"], abs=1e-15)


def test_what_is_undefined_has_neither_mean_nor_spread():
    runs = [one_label([0.9, 0.8, 0.1, 0.2], (0, 0, 0, 0)) for _ in range(2)]
    found = summarise_seeds(runs, 10)
    assert found["mean"]["auc"] is None
    assert found["mean"]["spread"]["auc"] is None
    assert found["mean"]["spread"]["spec"] == 0
    assert not any(
        math.isnan(x) for x in json.loads(json.dumps(found))["mean"]["stds"].values() if x
    )


def test_systems_that_are_resampled_already_tell_the_same(random_predictions):
    firsts, seconds = ([random_predictions(seed + more) for seed in range(2)] for more in (0, 5))
    one, other = resample(firsts, 40, 2), resample(seconds, 40, 2)
    assert summary_of(one) == summarise_seeds(firsts, 40, 2)
    assert summary_of_difference(one, other) == compare_seeds(firsts, seconds, 40, 2)


def test_seeds_of_other_cases_are_refused(random_predictions):
    with pytest.raises(DataError, match="needs two runs on the same cases"):
        summarise_seeds([random_predictions(0), random_predictions(0, cases=50)], 10)
    with pytest.raises(DataError, match="needs two runs on the same cases"):
        compare_seeds([random_predictions(0)], [random_predictions(0, cases=50)], 10)
    with pytest.raises(DataError, match="A mean over seeds needs at least one run. Give its pred"):
        summarise_seeds([])
