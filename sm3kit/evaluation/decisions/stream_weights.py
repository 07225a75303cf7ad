"""Weights of the streams of a classifier, searched on the studies that choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sm3kit.datasets.base import LabelSpec
from sm3kit.metrics.reporting import classes_with_enough

Array = npt.NDArray[Any]
Goal = Literal["auc", "accuracy"]
FINEST, MOST_POINTS = 20, 11_000
ROUNDING = 1e-12


@dataclass(frozen=True)
class StreamWeights:
    """What a search has chosen.

    Attributes:
        weights: {stream: weight}; they sum to one.
        score: the goal there.
        step: between two weights.
        tried: number of points.
    """

    weights: dict[str, float]
    score: float
    step: float
    tried: int


def search_weights(
    decide: Callable[[Mapping[str, float]], Sequence[Tensor]],
    streams: Sequence[str],
    labels: Sequence[LabelSpec],
    truth: Array,
    goal: Goal,
    least: int = 1,
) -> StreamWeights:
    """The point of the simplex that decides best; of equal ones the most even.

    Source: Tang et al. 2022, doi.org/10.1016/j.media.2021.102307, decision-level fusion: weights
    of three streams for the best mean accuracy on the validation split.
    Differs from the release: every point of the simplex in steps of 0.05 is looked at, where its
    loops change their bounds on the way; and the goal may be the mean AUC. More than five
    streams have coarser steps, so that there are at most 11,000 points.

    Args:
        decide: {stream: weight} -> class probabilities [(N, C)] * K of the studies that choose.
        streams: names of S streams.
        labels: K labels.
        truth: (N, K), -1 where unknown.
        goal: "auc" or "accuracy", as a mean over the labels that have one.
        least: studies that a class wants, to count in the AUC of a label without a reported class.
    """
    score = _scorer(labels, truth, goal, least)
    steps = finest_steps(len(streams))
    points = simplex(len(streams), steps)
    scores = np.array(
        [score(decide(dict(zip(streams, point / steps, strict=True)))) for point in points]
    )
    best = np.flatnonzero(scores >= scores.max() - ROUNDING)
    chosen = int(best[np.argmin((points[best] ** 2).sum(1))])
    weights = {
        name: float(part / steps) for name, part in zip(streams, points[chosen], strict=True)
    }
    return StreamWeights(weights, float(scores[chosen]), 1 / steps, len(points))


def finest_steps(streams: int) -> int:
    """How many steps there are from 0 to 1: 20, or as many as keep the simplex small."""
    fine = (n for n in range(FINEST, 1, -1) if comb(n + streams - 1, n) <= MOST_POINTS)
    return next(fine, 1)


def simplex(streams: int, steps: int) -> Array:
    """All points (n, S) of whole numbers that sum to `steps`, in order."""
    places = list(combinations(range(steps + streams - 1), streams - 1))
    bars = np.array(places, np.int64).reshape(len(places), streams - 1)
    ends = np.full((len(bars), 1), steps + streams - 1)
    edges = np.concatenate([np.full((len(bars), 1), -1), bars, ends], axis=1)
    return np.diff(edges, axis=1) - 1


def auc(score: Array, positive: Array) -> float:
    """The AUC of scores (N,) for positives (N,) bool: the share of pairs in the right order."""
    others = np.sort(score[~positive])
    ours = score[positive]
    below = np.searchsorted(others, ours, "left") + np.searchsorted(others, ours, "right")
    return float(below.sum()) / (2 * len(ours) * len(others))


def _scorer(
    labels: Sequence[LabelSpec], truth: Array, goal: Goal, least: int
) -> Callable[[Sequence[Tensor]], float]:
    """What gives the goal of class probabilities; the truth says once what counts in it."""
    parts: list[tuple[int, Array, Array, tuple[int, ...]]] = []
    for number, label in enumerate(labels):
        known = truth[:, number] >= 0
        classes = _classes(label, truth[known, number], least)
        if classes if goal == "auc" else known.any():
            parts.append((number, known, truth[known, number], classes))

    def score(probabilities: Sequence[Tensor]) -> float:
        values = []
        for number, known, true, classes in parts:
            rows = probabilities[number].numpy()[known]
            if goal == "accuracy":
                values.append(float((rows.argmax(1) == true).mean()))
            else:
                values.append(float(np.mean([auc(rows[:, n], true == n) for n in classes])))
        return float(np.mean(values)) if values else 0.0

    return score


def _classes(label: LabelSpec, true: Array, least: int) -> tuple[int, ...]:
    """The classes that the AUC of a label is of."""
    counts = np.bincount(true, minlength=len(label.classes)).tolist()
    enough = classes_with_enough(counts, 1 if label.reported else least)
    if not label.reported:
        return enough
    index = label.classes.index(label.reported)
    return (index,) if index in enough else ()
