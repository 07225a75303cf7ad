"""What validation studies tell over the epochs, and how far chance moves it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sm3kit.runs.epoch_rows import Rows, series

Gain = Literal["better", "same", "worse", "unknown"]
Trend = Literal["improving", "flat", "worse", "past its best", "unknown"]

FEWEST_LOOKS = 4  # That a trend is told from.
# The 97.5 % point of Student's t by degrees of freedom, for the slope of a line.
STUDENT = {2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
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


def ranks_of(row: Mapping[str, Any]) -> dict[str, float]:
    """{direction: mean rank} of an epoch, in projection space if there is one."""
    for mark in ("*", ""):
        ranks = {
            name.removeprefix("rank/").removesuffix("*"): float(value)
            for name, value in row.items()
            if name.startswith("rank/") and "->" in name and name.endswith("*") == bool(mark)
            if value not in (None, "")
        }
        if ranks:
            return ranks
    return {}


def mean_rank(row: Mapping[str, Any]) -> float:
    """The mean over all directions of the mean ranks of an epoch; NaN without ranks."""
    ranks = ranks_of(row)
    return sum(ranks.values()) / len(ranks) if ranks else math.nan


def pairs_of(row: Mapping[str, Any]) -> tuple[int, int]:
    """The least and most pairs that a direction ranks in an epoch with ranks."""
    counts = [
        # Rows of older runs count the pairs once for all.
        int(float(row[own if row.get(own := f"pairs/{way}") else "rank/of"]))
        for way in ranks_of(row)
    ]
    return min(counts), max(counts)


def rank_measure(rows: Rows) -> Measure | None:
    """The mean rank of the true partner over all directions; see `mean_rank`.

    Ranks r of N pairs spread as widely as their mean, and never more than at random: N / √12.
    """
    told = [row for row in rows if math.isfinite(mean_rank(row))]
    points = [(int(row["epoch"]), mean_rank(row)) for row in told]
    if not points:
        return None
    pairs = min(pairs_of(row)[0] for row in told)
    errors = {epoch: min(rank, pairs / math.sqrt(12)) / math.sqrt(pairs) for epoch, rank in points}
    name, studies = "the mean rank of the true partner", f"{pairs} validation pairs"
    return Measure(name, points, errors, (pairs + 1) / 2, studies, False, False)


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


def gain_of(measure: Measure) -> tuple[Gain, str]:
    """Whether the last value is better than the first, beyond the noise."""
    epoch, last = measure.points[-1]
    start = dict(measure.points).get(0, measure.chance)
    now = f"{measure.name} is {measure.text(last)} among {measure.studies}"
    if start is None or epoch == 0:
        return "unknown", f"{now[0].upper()}{now[1:]}; its value before the training is not known."
    before = "before the training" if dict(measure.points).get(0) else "by chance"
    chance = f" (chance {measure.text(measure.chance)})" if measure.chance else ""
    numbers = f"{now}, {measure.text(start)} {before}{chance if before != 'by chance' else ''}"
    gain, noise = measure.gain(start, last), measure.noise(0, epoch)
    if abs(gain) <= noise:
        points = measure.text(noise).replace(" %", " points")
        return "same", (
            f"No gain can be claimed: {numbers}. Differences of up to {points} may be chance."
        )
    kind: Gain = "better" if gain > 0 else "worse"
    return kind, f"{kind.capitalize()} than its start: {numbers}."


def trend_of(measure: Measure) -> tuple[Trend, str]:
    """Where the values of the second half are going."""
    looks = [(epoch, value) for epoch, value in measure.points if epoch]
    if len(looks) < FEWEST_LOOKS:
        return "unknown", (
            "Whether it still improves cannot be told: that takes at least "
            f"{FEWEST_LOOKS} looks at the validation studies."
        )
    last, value = looks[-1]
    best, top = max(looks, key=lambda look: measure.gain(0, look[1]))
    if measure.gain(value, top) > measure.noise(best, last):
        return "past its best", (
            f"Past its best: {measure.name} was {measure.text(top)} after epoch {best} and is "
            f"{measure.text(value)} now, a loss beyond noise."
        )
    half = looks[-max(FEWEST_LOOKS, (len(looks) + 1) // 2) :]
    change, error = _slope(half)
    gained, since = measure.gain(0, change), half[0][0]
    least = 0.01 if measure.percent else 0.05 * abs(half[0][1])
    if abs(gained) <= error and error > 5 * least:
        return "unknown", (
            f"Whether {measure.name} still improves cannot be told: the looks since epoch {since} are "
            "too few or too uneven."
        )
    if abs(gained) <= error or abs(gained) < least:
        return "flat", f"Since epoch {since} {measure.name} has hardly changed."
    if gained > 0:
        return "improving", f"Still improving: {measure.name} got better since epoch {since}."
    return "worse", f"Getting worse: {measure.name} has fallen back since epoch {since}."


def _slope(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """The change along a line through points, and the half-width of its 95 % interval."""
    x, y = np.array(points, float).T
    span, centred = x[-1] - x[0], x - x.mean()
    slope = centred @ y / (centred @ centred)
    rest = y - y.mean() - slope * centred
    freedom = len(x) - 2
    error = math.sqrt(rest @ rest / freedom / (centred @ centred))
    return float(slope * span), STUDENT.get(freedom, 2.1) * float(error * span)
