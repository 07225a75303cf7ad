"""Which classes a case is called, by the most likely one or by thresholds, and how well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class CallCounts:
    """How many cases are called what, for each of R weightings.

    Attributes:
        actual, predicted, correct: (R, C), how many cases are of each class, are called so, and
            both.
        exact: (R,), how many are called their own class and no other.
        one_vs_rest: whether each class has a rule of its own, so that a case may be called several
            classes, or none.
    """

    actual: Array
    predicted: Array
    correct: Array
    exact: Array
    one_vs_rest: bool

    @property
    def known(self) -> Array:
        """How many cases there are, (R,)."""
        count: Array = self.actual.sum(1)
        return count


def called_classes(scores: Array, thresholds: Array | None = None) -> Array:
    """Which classes each case is called, (N, C) bool.

    Args:
        scores: (N, C).
        thresholds: (C,); a case is called every class whose threshold it reaches, p >= t. A class
            whose threshold is NaN is called where it is the most likely one; so are all without
            thresholds. The first of equal scores is the most likely.
    """
    likely: Array = np.eye(scores.shape[1], dtype=bool)[scores.argmax(1)]
    if thresholds is None:
        return likely
    called: Array = np.where(np.isnan(thresholds), likely, scores >= thresholds)
    return called


def count_calls(
    scores: Array, truth: Array, weights: Array, thresholds: Array | None = None
) -> CallCounts:
    """Counts calls; scores (N, C), truth (N,) without unknown ones, weights (R, N)."""
    true = np.eye(scores.shape[1])[truth]
    called = called_classes(scores, thresholds).astype(np.float64)
    exact = (called == true).all(1, keepdims=True)
    sums = weights @ np.concatenate([true, called, true * called, exact], axis=1)
    actual, predicted, correct = np.split(sums[:, :-1], 3, axis=1)
    return CallCounts(actual, predicted, correct, sums[:, -1], thresholds is not None)


def of_class(counts: CallCounts, reported: int) -> dict[str, Array]:
    """The metrics of one class against the rest."""
    positives, tp = counts.actual[:, reported], counts.correct[:, reported]
    negatives, fp = counts.known - positives, counts.predicted[:, reported] - tp
    return {
        "sens": ratio(tp, positives),
        "spec": ratio(negatives - fp, negatives),
        "prec": np.where(positives > 0, ratio(tp, tp + fp, 0.0), np.nan),
    }


def over_classes(counts: CallCounts, classes: Sequence[int] | None = None) -> dict[str, Array]:
    """The means over the classes in the truth, or over those of them that are asked for.

    Where each class has a threshold, its balanced accuracy is the mean of its sensitivity and its
    specificity: a mean recall would reward those who call everything. For two classes and the most
    likely one both are the same.
    """
    chosen = slice(None) if classes is None else list(classes)
    actual, predicted, correct = (
        part[:, chosen] for part in (counts.actual, counts.predicted, counts.correct)
    )
    present = actual > 0
    f1 = np.where(present, ratio(2 * correct, actual + predicted, 0.0), 0)
    recall = ratio(correct, actual, 0.0)
    if counts.one_vs_rest:
        negatives = counts.known[:, None] - actual
        specificity = ratio(negatives - (predicted - correct), negatives)
        both = np.where(negatives > 0, (recall + specificity) / 2, recall)
        recall = np.where(present, both, 0)
    return {
        "balanced_accuracy": ratio(recall.sum(1), present.sum(1)),
        "macro_f1": ratio(f1.sum(1), present.sum(1)),
    }


def accuracy(counts: CallCounts) -> dict[str, Array]:
    """The share of the cases that are called their own class and no other."""
    return {"accuracy": ratio(counts.exact, counts.known)}


def ratio(top: Array, bottom: Array, empty: float = math.nan) -> Array:
    """Quotients, with the value `empty` where the bottom is zero."""
    quotients: Array = np.full(top.shape, empty)
    return np.divide(top, bottom, out=quotients, where=bottom > 0)
