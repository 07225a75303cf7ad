"""Which classes the numbers of a label are of, and whether they have enough for an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from sm3kit.metrics.per_label import label_metrics, mean_metrics, support
from sm3kit.metrics.predictions import LabelScores

Array = npt.NDArray[Any]
# Groups (patients, lesions) with a class, and as many without it, that an interval needs.
MIN_GROUPS = 5
# Metrics that go over all classes in the truth, not over the reported one alone.
OVER_CLASSES = ("balanced_accuracy", "macro_f1")


def classes_with_enough(counts: Sequence[int], least: int) -> tuple[int, ...]:
    """Indices of the classes that have enough cases, and as many against them, for a number.

    Args:
        counts: known cases of each class.
        least: how many are enough; there is no number of fewer than one.
    """
    known, least = sum(counts), max(least, 1)
    return tuple(n for n, count in enumerate(counts) if least <= count <= known - least)


@overload
def metrics_of(label: LabelScores, least: int, weights: None = None) -> dict[str, float]:
    """One value per metric."""


@overload
def metrics_of(label: LabelScores, least: int, weights: Array) -> dict[str, Array]:
    """One value per metric and weighting."""


def metrics_of(
    label: LabelScores, least: int, weights: Array | None = None
) -> dict[str, float] | dict[str, Array]:
    """Every metric of a label: of its reported class, else the mean over those with enough cases.

    Args:
        label: scores, truth, and thresholds if it has any.
        least: as for `classes_with_enough`; it does not matter to a reported class.
        weights: (R, N), as for `label_metrics`.
    """
    scores, truth, thresholds = label.scores, label.truth, label.thresholds
    if label.reported:
        return label_metrics(scores, truth, label.reported_index, weights, thresholds)
    classes = measured_classes(label, least)
    if weights is not None:
        return mean_metrics(scores, truth, classes, weights, thresholds)
    single = mean_metrics(scores, truth, classes, np.ones((1, len(truth))), thresholds)
    return {name: float(values[0]) for name, values in single.items()}


def measured_classes(label: LabelScores, least: int) -> tuple[int, ...]:
    """Indices of the classes that the metrics of a label are of, in order."""
    if label.reported:
        return (label.reported_index,)
    return classes_with_enough(_counts(label), least)


def needed_classes(label: LabelScores, least: int, metric: str) -> tuple[int, ...]:
    """Indices of the classes that a sample needs for a metric of the same meaning in each sample."""
    if label.reported and metric in OVER_CLASSES:
        return tuple(n for n, count in enumerate(_counts(label)) if count)
    return measured_classes(label, least)


def holds_classes(label: LabelScores, classes: Sequence[int], weights: Array) -> Array:
    """Whether each weighting (R, N) counts every class, and something against it; (R,) of bool."""
    known = label.truth >= 0
    members = np.equal.outer(label.truth[known], np.array(classes, np.int64))  # (N, n)
    drawn = weights[:, known].astype(np.float64)
    counts = drawn @ members  # (R, n)
    whole: Array = ((counts > 0) & (counts < drawn.sum(1, keepdims=True))).all(1)
    return whole


def groups_of_class(label: LabelScores, groups: Array, index: int) -> tuple[int, int]:
    """How many groups have a case of a class, and how many have a known case of another class."""
    known = label.truth >= 0
    positive = label.truth[known] == index
    own = groups[known]
    return len(np.unique(own[positive])), len(np.unique(own[~positive]))


def rare_classes(label: LabelScores, groups: Array, classes: Sequence[int]) -> list[int]:
    """Those of some classes that have too few groups, with them or without, for an interval.

    An interval of resampled groups tells nothing of patients like the one or two that are there:
    with one positive the AUC hardly varies, whatever the network is worth.

    Args:
        label: scores and truth.
        groups: (N,), the group of each case: what a bootstrap draws.
        classes: indices.
    """
    return [n for n in classes if min(groups_of_class(label, groups, n)) < MIN_GROUPS]


def rare_text(rare: Mapping[str, Sequence[int]]) -> str | None:
    """Why a label has no interval; None if it has one.

    Args:
        rare: {class: [groups with it, groups without]} of the classes with too few.
    """
    texts = [f"{name} has {own} positive and {rest} negative" for name, (own, rest) in rare.items()]
    return f"{', '.join(texts)} groups, not {MIN_GROUPS} of each" if texts else None


def describe(label: LabelScores, groups: Array, least: int) -> dict[str, Any]:
    """What a record says of a label beside its metrics.

    Args:
        label: scores and truth.
        groups: (N,), the group of each case.
        least: as for `classes_with_enough`.

    Returns:
        {"reported": the chosen class or None, "classes": those that the metrics are of or the mean
        over, "left_out": {class: cases} of those with too few, "few": whether the chosen class
        is such, "rare": {class: [groups with it, groups without]} of the measured classes with too
        few for an interval, "support": as from `support`, by the names of the classes}.
    """
    counts = _counts(label)
    enough, measured = classes_with_enough(counts, least), measured_classes(label, least)
    index = label.reported_index if label.reported else None
    cases = support(label.truth, index, len(label.classes))
    cases["classes"] = dict(zip(label.classes, counts, strict=True))
    rest = [] if label.reported else [n for n in range(len(counts)) if n not in enough]
    return {
        "reported": label.reported or None,
        "classes": [label.classes[n] for n in measured],
        "left_out": {label.classes[n]: counts[n] for n in rest},
        "few": bool(label.reported) and index not in enough,
        "rare": {
            label.classes[n]: list(groups_of_class(label, groups, n))
            for n in rare_classes(label, groups, measured)
        },
        "support": cases,
    }


def _counts(label: LabelScores) -> list[int]:
    known = label.truth[label.truth >= 0]
    counts: list[int] = np.bincount(known, minlength=len(label.classes)).tolist()
    return counts
