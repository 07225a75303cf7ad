"""Which classes the numbers of a label are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from sm3kit.metrics.per_label import label_metrics, mean_metrics, support
from sm3kit.metrics.predictions import LabelScores

Array = npt.NDArray[Any]


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
        label: scores and truth.
        least: as for `classes_with_enough`; it does not matter to a reported class.
        weights: (R, N), as for `label_metrics`.
    """
    scores, truth = label.scores, label.truth
    if label.reported:
        return label_metrics(scores, truth, label.reported_index, weights)
    classes = measured_classes(label, least)
    if weights is not None:
        return mean_metrics(scores, truth, classes, weights)
    single = mean_metrics(scores, truth, classes, np.ones((1, len(truth))))
    return {name: float(values[0]) for name, values in single.items()}


def measured_classes(label: LabelScores, least: int) -> tuple[int, ...]:
    """Indices of the classes that the metrics of a label are of, in order."""
    if label.reported:
        return (label.reported_index,)
    return classes_with_enough(_counts(label), least)


def describe(label: LabelScores, least: int) -> dict[str, Any]:
    """What a record says of a label beside its metrics.

    Returns:
        {"reported": the chosen class or None, "classes": those that the metrics are of or the mean
        over, "left_out": {class: cases} of those with too few, "few": whether the chosen class
        is such, "support": as from `support`, by the names of the classes}.
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
        "support": cases,
    }


def _counts(label: LabelScores) -> list[int]:
    known = label.truth[label.truth >= 0]
    counts: list[int] = np.bincount(known, minlength=len(label.classes)).tolist()
    return counts
