"""The metrics of a run or of its seeds, and of the difference of two, with paired intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sm3kit.metrics.bootstrap import interval, share_above_zero
from sm3kit.metrics.per_label import METRICS
from sm3kit.metrics.predictions import LabelScores, Predictions
from sm3kit.metrics.reporting import describe, rare_text
from sm3kit.metrics.resampled import Resampled, Values, mean_of_labels, resample

TOO_FEW = "fewer than half of the resamples contain all its classes"

__all__ = [
    "LabelScores", "Predictions", "compare", "compare_seeds", "mean_auc", "summarise",
    "summarise_seeds", "summary_of", "summary_of_difference",
]  # fmt: skip


def summarise(predictions: Predictions, resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Every metric of every label and their means, with 95 % intervals, ready for JSON.

    A mean leaves out the labels whose metric is undefined on all cases, and only these, in every
    resample; a resample that lacks a class of one of the others does not count. A label with fewer
    than five groups with its class, or without it, has no interval, nor has a mean that such a
    label is part of: the mean over the other labels then has one. None stands for what is
    undefined.

    Source: Wang et al. 2025, tables 1 to 4: mean and deviation (n - 1) are over the labels.

    Args:
        predictions: of one model on one split.
        resamples: draws of the bootstrap of groups; 0 leaves out the intervals.
        seed: of the bootstrap.

    Returns:
        {"labels": {name: {metric: value, "ci95", "intervals", "interval_reason", and what
        `describe` says}}, "mean": {metric: value, "std", "stds", "counted", "labels", "ci95",
        "intervals", "interval_reason", "supported"}, "cases", "groups", "min_positives",
        "resamples", "seed"}. "ci95" and "std" are of the AUC, "intervals", "stds" and "counted"
        (the labels that entered) hold every metric. "interval_reason" says why there is no
        interval of the AUC, None if there is one; "supported" is the mean over the "labels" that
        have one, None if these are all or none of them.
    """
    return _summary(resample([predictions], resamples, seed))


def summarise_seeds(
    runs: Sequence[Predictions], resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Every metric as the mean over several seeds, with spread and 95 % intervals.

    Each resample draws the same groups for all seeds; its value is their mean. So the interval
    covers other patients with these networks, and the spread the seeds; neither covers both.

    Args:
        runs: predictions of the same cases, one for each seed.
        resamples, seed: as for `summarise`.

    Returns:
        As from `summarise`, equal to it for one seed, with "seeds": how many, and in each label
        and the mean "spread": {metric: deviation over the seeds with n - 1, None for one seed}.

    Raises:
        DataError: there is no run, or the runs differ in cases, labels, classes or truth.
    """
    return summary_of(resample(runs, resamples, seed))


def summary_of(system: Resampled) -> dict[str, Any]:
    """The result of `summarise_seeds` for a system that is resampled already."""
    summary = _summary(system)
    for name, label in summary["labels"].items():
        label["spread"] = _spread([values[name] for values in system.seeds])
    summary["mean"]["spread"] = _spread([mean_of_labels(values) for values in system.seeds])
    return summary | {"seeds": len(system.seeds)}


def compare(
    first: Predictions, second: Predictions, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """How much the second run improves on the first in every metric, with paired 95 % intervals.

    Each resample draws the same groups for both runs and for all labels, so that what is hard
    for both cancels out.

    Args:
        first, second: of the same cases, in any order, with the same labels.
        resamples, seed: as for `summarise`.

    Returns:
        As from `summarise`, without deviations, with second minus first in the place of each
        value, and beside the intervals "above_zero": {metric: the share of resamples in which the
        second is better}. "difference" says the direction.

    Raises:
        DataError: the runs did not predict the same cases, labels, classes or truth.
    """
    return _difference(*(resample([run], resamples, seed) for run in (first, second)))


def compare_seeds(
    firsts: Sequence[Predictions],
    seconds: Sequence[Predictions],
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """How much the mean over the second's seeds improves on the first's, paired by cases.

    Args:
        firsts, seconds: predictions of the same cases, one for each seed; one of the two may
            have more seeds than the other.
        resamples, seed: as for `summarise`.

    Returns:
        As from `compare`, equal to it for one seed each, with "seeds": how many each has.

    Raises:
        DataError: as from `summarise_seeds`, also between the first and the second.
    """
    return summary_of_difference(*(resample(runs, resamples, seed) for runs in (firsts, seconds)))


def summary_of_difference(first: Resampled, second: Resampled) -> dict[str, Any]:
    """The result of `compare_seeds` for two systems that are resampled already."""
    return _difference(first, second) | {"seeds": [len(first.seeds), len(second.seeds)]}


def mean_auc(predictions: Predictions) -> float:
    """The mean AUC of the labels that have one, to choose an epoch by; NaN if none has."""
    labels = resample([predictions], resamples=0).means()
    return float(mean_of_labels(labels)["auc"][0])


def _summary(system: Resampled) -> dict[str, Any]:
    means = system.means()
    labels = _labels(system, means)
    stds = {name: _deviation(_points(means, name)) for name in METRICS}
    mean = _mean(means, labels) | {"std": stds["auc"], "stds": stds} | _counts(means)
    return {"labels": labels, "mean": mean, **_setting(system)}


def _difference(first: Resampled, second: Resampled) -> dict[str, Any]:
    more = second.more_than(first)
    # The truth alone decides where a metric is defined, so the mean of the differences is the
    # difference of the means.
    labels = _labels(first, more)
    for name, label in labels.items():
        label |= _above_zero(more[name])
    mean = _mean(more, labels) | _above_zero(mean_of_labels(more)) | _counts(more)
    if mean["supported"]:
        kept = {name: more[name] for name in mean["supported"]["labels"]}
        mean["supported"] |= _above_zero(mean_of_labels(kept))
    return {
        "difference": "second minus first",
        "labels": labels,
        "mean": mean,
        **_setting(first),
    }


def _labels(system: Resampled, values: dict[str, Values]) -> dict[str, dict[str, Any]]:
    """What a record says of each label.

    Args:
        system: for the cases.
        values: {label: {metric: (1 + R,)}}.
    """
    labels = {}
    for name, label in system.cases.labels.items():
        row = describe(label, system.cases.groups, system.cases.min_positives)
        labels[name] = row | _values_and_intervals(values[name], rare_text(row["rare"]))
    return labels


def _mean(values: dict[str, Values], labels: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The mean over the labels, and over those with an interval where one has none."""
    counted = [name for name, label in labels.items() if label["auc"] is not None]
    rare = [name for name in counted if labels[name]["rare"]]
    supported = [name for name in counted if name not in rare]
    reason = f"it includes {', '.join(rare)}, without an interval" if rare else None
    mean = _values_and_intervals(mean_of_labels(values), reason)
    part = None
    if rare and supported:
        kept = mean_of_labels({name: values[name] for name in supported})
        part = {"labels": supported, **_values_and_intervals(kept, None)}
    return mean | {"supported": part}


def _points(labels: dict[str, Values], metric: str) -> list[float]:
    """The defined values of a metric on all cases."""
    values = [float(metrics[metric][0]) for metrics in labels.values()]
    return [value for value in values if not math.isnan(value)]


def _deviation(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _spread(seeds: list[Values]) -> dict[str, float | None]:
    """The deviation over the seeds of each metric on all cases."""
    points = {name: [float(values[name][0]) for values in seeds] for name in METRICS}
    undefined = {name for name, values in points.items() if math.isnan(values[0])}
    return {
        name: None if name in undefined else _deviation(values) for name, values in points.items()
    }


def _counts(labels: dict[str, Values]) -> dict[str, Any]:
    counted = {metric: len(_points(labels, metric)) for metric in METRICS}
    return {"labels": counted["auc"], "counted": counted}


def _values_and_intervals(values: Values, reason: str | None) -> dict[str, Any]:
    """Values and intervals of every metric.

    Args:
        values: {metric: (1 + R,)}.
        reason: why there is no interval of the AUC, as far as it is known beforehand.
    """
    intervals = {name: [_plain(end) for end in interval(values[name][1:])] for name in METRICS}
    points = {name: _plain(values[name][0]) for name in METRICS}
    if reason is None and intervals["auc"][0] is None:
        reason = "it has no number" if points["auc"] is None else TOO_FEW
    if len(values["auc"]) == 1:
        reason = "no resample was drawn"
    return {**points, "ci95": intervals["auc"], "intervals": intervals, "interval_reason": reason}


def _above_zero(values: Values) -> dict[str, Any]:
    return {"above_zero": {name: _plain(share_above_zero(values[name][1:])) for name in METRICS}}


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _setting(system: Resampled) -> dict[str, int]:
    return {
        "cases": len(system.cases.ids),
        "groups": len(np.unique(system.cases.groups)),
        "min_positives": system.cases.min_positives,
        "resamples": system.resamples,
        "seed": system.seed,
    }
