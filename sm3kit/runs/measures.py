"""What validation studies tell over the epochs, and how far chance moves it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sm3kit.runs.epoch_rows import Rows, columns_of, series

NOISE = 2.0  # Standard errors that a difference must exceed to be told as one.


@dataclass(frozen=True)
class Measure:
    """A number of the validation studies over the epochs.

    Attributes:
        name: as in a sentence.
        points: (epoch, value); epoch 0 is before the training.
        errors: {epoch: standard error}.
        chance: its value without any learning, if the start is not known; None if not known.
        studies: how many it is of, as in a sentence.
        higher_is_better: whether it is.
        percent: whether it is told in percent.
    """

    name: str
    points: Sequence[tuple[int, float]]
    errors: dict[int, float]
    chance: float | None
    studies: str
    higher_is_better: bool
    percent: bool

    def text(self, value: float) -> str:
        """The value as people read it."""
        return f"{100 * value:.1f} %" if self.percent else f"{value:.1f}"

    def gain(self, before: float, after: float) -> float:
        """How much better a later value is."""
        return after - before if self.higher_is_better else before - after

    def noise(self, *epochs: int) -> float:
        """What the difference of two values must exceed, as if they were of different studies."""
        known = max(self.errors.values())
        return NOISE * math.hypot(*(self.errors.get(epoch, known) for epoch in epochs))


def rank_measure(rows: Rows) -> Measure | None:
    """The mean rank over all directions, in projection space if there is one.

    Ranks r of N pairs spread as widely as their mean, and never more than at random: N / √12.
    """
    for mark in ("*", ""):
        columns = {
            name: series(rows, name)
            for name in columns_of(rows)
            if name.startswith("rank/") and "->" in name and name.endswith("*") == bool(mark)
        }
        tables = [dict(points) for points in columns.values() if points]
        if not tables:
            continue
        counts = [n for name in columns for n in series(rows, f"pairs/{name[5:].rstrip('*')}")]
        pairs = int(min(n for _, n in counts or series(rows, "rank/of") or [(0, 2)]))
        means = {
            epoch: float(np.mean([t[epoch] for t in tables if epoch in t])) for epoch in tables[0]
        }
        errors = {
            epoch: min(rank, pairs / math.sqrt(12)) / math.sqrt(pairs)
            for epoch, rank in means.items()
        }
        studies = f"{pairs} validation pairs"
        name = "the mean rank of the true partner"
        return Measure(name, list(means.items()), errors, (pairs + 1) / 2, studies, False, False)
    return None


def knn_measure(rows: Rows) -> Measure | None:
    """The kNN AUC of the joint feature; few studies may hide their error, as all are right."""
    points = series(rows, "knn_auc")
    if not points:
        return None
    count = int(series(rows, "knn_auc_of")[-1][1])
    told = dict(series(rows, "knn_auc_error"))
    least = 0.25 / math.sqrt(count)
    errors = {epoch: max(told.get(epoch, least), least) for epoch, _ in points}
    return Measure("the kNN AUC", points, errors, None, f"{count} validation studies", True, True)
