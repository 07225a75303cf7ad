"""Evaluation: what the tables print."""

import math
import statistics

import numpy as np
import pytest
from differences_page import EVALUATION, row
from tiny_run import settings

from sm3kit.metrics.bootstrap import case_weights
from sm3kit.metrics.per_label import METRICS, label_metrics
from sm3kit.metrics.predictions import LabelScores, Predictions
from sm3kit.metrics.summary import summarise


def predictions(count=24):
    """Three labels of cases, of which two in turn are of one patient."""
    rng = np.random.default_rng(0)
    labels = {
        name: LabelScores(("a", "b", "c"), "b", rng.random((count, 3)), rng.integers(0, 3, count))
        for name in ("one", "two", "three")
    }
    numbers = np.arange(count)
    return Predictions(labels, numbers.astype(str), (numbers // 2).astype(str))


@row(EVALUATION, "STD in the tables", "over the labels, n - 1")
def test_the_deviation_is_that_of_the_labels():
    found = summarise(predictions(), 2)
    areas = [label["auc"] for label in found["labels"].values()]
    assert found["mean"]["std"] == pytest.approx(statistics.stdev(areas), rel=1e-12)


@row(EVALUATION, "Intervals", "bootstrap over groups, 2,000 resamples")
def test_intervals_are_drawn_by_groups():
    assert settings().resamples == 2000
    made = predictions()
    found = summarise(made, settings().resamples)
    assert (found["groups"], found["resamples"]) == (12, 2000)
    low, high = found["mean"]["ci95"]
    assert low < found["mean"]["auc"] < high
    drawn = case_weights(made.groups, settings().resamples, 0)
    assert drawn.shape == (2000, 24)
    assert (drawn[:, 0::2] == drawn[:, 1::2]).all()
    assert (drawn[:, 0] != drawn[:, 2]).any()


@row(EVALUATION, "Metrics of a class that does not occur", "undefined, except specificity")
def test_a_class_that_does_not_occur_has_no_number_but_specificity():
    scores, truth = np.eye(3)[[0, 2, 0, 2]], np.array([0, 2, 2, 0])
    found = label_metrics(scores, truth, 1)
    of_the_class = ("auc", "sens", "prec", "auprc", "sens_at_90_spec")
    assert [name for name in METRICS if math.isnan(found[name])] == [
        name for name in METRICS if name in of_the_class
    ]
    assert found["spec"] == 1
