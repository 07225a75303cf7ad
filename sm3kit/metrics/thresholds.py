"""Thresholds of the classes of a label, each against the rest, and what they gain by nested folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sm3kit.metrics.calls import called_classes
from sm3kit.metrics.folds import group_folds
from sm3kit.metrics.predictions import LabelScores
from sm3kit.metrics.reporting import rare_classes

Array = npt.NDArray[Any]
Goal = Literal["f1", "youden"]
FOLDS = 5


@dataclass(frozen=True, eq=False)
class FittedThresholds:
    """The thresholds of one label, and what the classes that have one gain by them.

    Attributes:
        values: (C,), NaN for a class that is called where it is the most likely one.
        likely: the goal, as a mean over the classes with a threshold, of calling the most likely
            class; NaN where no class has a threshold.
        naive: the same of thresholds that were fitted to the very cases: it is too good.
        nested: the same, each case called by thresholds that were fitted without its fold.
    """

    values: Array
    likely: float
    naive: float
    nested: float


def fit_thresholds(
    label: LabelScores, groups: Array, goal: Goal, seed: int = 0, folds: int = FOLDS
) -> FittedThresholds:
    """Fits a threshold to each class of a label by nested folds.

    The threshold of a class is the median over folds of the best one for the cases outside the
    fold; cases of a group are in one fold. The mean over the classes of F1, or of Youden's index,
    separates over them, so one search per class is the best of all. A class with fewer than five
    groups, or with fewer than five against it, gets no threshold: what fits so few tells nothing.

    Source: Lipton, Elkan and Naryanaswamy 2014, doi.org/10.1007/978-3-662-44851-9_15, on thresholds
    for the mean F1; Youden 1950, Cancer 3(1), 32-35.

    Args:
        label: scores and truth of the cases to fit to.
        groups: (N,), the group of each case.
        goal: "f1", or "youden" for sensitivity plus specificity.
        seed: of the folds.
        folds: how many.
    """
    rare = rare_classes(label, groups, range(len(label.classes)))
    fitted = [index for index in range(len(label.classes)) if index not in rare]
    known = label.truth >= 0
    scores, truth, groups = label.scores[known], label.truth[known], groups[known]
    values = np.full(len(label.classes), np.nan)
    if not fitted:
        return FittedThresholds(values, np.nan, np.nan, np.nan)
    fold = group_folds(groups, truth, folds, seed)
    numbers = np.unique(fold)
    table = np.full((len(numbers), len(values)), np.nan)
    nested = called_classes(scores)
    for number, row in zip(numbers, table, strict=True):
        inside = fold == number
        row[fitted] = _of_classes(scores[~inside], truth[~inside], fitted, goal)
        nested[inside] = called_classes(scores[inside], row)
    for index in fitted:
        defined = table[~np.isnan(table[:, index]), index]
        values[index] = np.median(defined) if len(defined) else np.nan
    naive = np.full(len(values), np.nan)
    naive[fitted] = _of_classes(scores, truth, fitted, goal)

    def score(called: Array) -> float:
        return float(np.mean([reached(called[:, n], truth == n, goal) for n in fitted]))

    likely = called_classes(scores)
    return FittedThresholds(
        values, score(likely), score(called_classes(scores, naive)), score(nested)
    )


def best_threshold(score: Array, positive: Array, goal: Goal) -> float:
    """The threshold t of one class that makes the best of calling p >= t; NaN if one side is empty.

    It lies in the middle between two scores. Of equal ones the highest.

    Args:
        score: (N,) probabilities.
        positive: (N,) bool.
        goal: "f1" or "youden".
    """
    ours, others = np.sort(score[positive]), np.sort(score[~positive])
    if not len(ours) or not len(others):
        return float("nan")
    levels = np.unique(score)
    tp = len(ours) - np.searchsorted(ours, levels, "left")
    fp = len(others) - np.searchsorted(others, levels, "left")
    # In integers, or as one quotient: equal ones stay equal.
    if goal == "f1":
        worth = 2 * tp / (len(ours) + tp + fp)
    else:
        worth = tp * len(others) - fp * len(ours)
    place = len(levels) - 1 - int(np.argmax(worth[::-1]))
    level = levels[place]
    middle = level if place == 0 else (levels[place - 1] + level) / 2
    # Two scores may have no number between them.
    return float(middle if place == 0 or middle > levels[place - 1] else level)


def reached(called: Array, positive: Array, goal: Goal) -> float:
    """F1, or sensitivity plus specificity less one, of calls (N,) bool of one class."""
    tp, fp = int((called & positive).sum()), int((called & ~positive).sum())
    positives = int(positive.sum())
    if goal == "f1":
        return 2 * tp / max(positives + tp + fp, 1)
    return tp / max(positives, 1) - fp / max(len(positive) - positives, 1)


def _of_classes(scores: Array, truth: Array, classes: Sequence[int], goal: Goal) -> list[float]:
    return [best_threshold(scores[:, index], truth == index, goal) for index in classes]
