"""A verdict in words on stage 1: collapsed or not, better than its start, still improving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sm3kit.core.variant import Variant
from sm3kit.nn.monitors import COLLAPSED
from sm3kit.runs.advice import advise
from sm3kit.runs.epoch_rows import Rows, of_stage, series
from sm3kit.runs.measures import Measure, knn_measure, rank_measure

Health = Literal["diverged", "collapsed", "narrow", "sound", "unknown"]
Gain = Literal["better", "same", "worse", "unknown"]
Trend = Literal["improving", "flat", "worse", "past its best", "unknown"]

FEWEST_LOOKS = 4  # That a trend is told from.
# The 97.5 % point of Student's t by degrees of freedom, for the slope of a line.
STUDENT = {2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
FEWER_DIMENSIONS = 0.25  # The share of its RankMe that a space keeps at least.


@dataclass(frozen=True)
class Verdict:
    """What the numbers of a training say, as far as they can.

    Attributes:
        collapsed: whether features have collapsed or are not finite; None if nothing tells.
        better: whether some number of the validation studies is better than before the training,
            beyond noise, and none worse; None if there is no such number.
        improving: whether one of them still got better at the end; None if nothing tells.
        sentences: the same in words, with the numbers.
        advice: what to try next, a sentence each.
    """

    collapsed: bool | None = None
    better: bool | None = None
    improving: bool | None = None
    sentences: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The words as lines of a terminal."""
        heads = [("verdict", self.sentences), ("advice", self.advice)]
        return [
            f"{head if number == 0 else '':<9}{text}"
            for head, texts in heads
            for number, text in enumerate(texts)
        ]


def judge(rows: Rows, variant: Variant, folder: str) -> Verdict:
    """The verdict on stage 1 of a run; an empty one without an epoch of it.

    Args:
        rows: of all epochs, that of epoch 0 included if there is one.
        variant: of the run.
        folder: of the run, for commands.
    """
    rows = of_stage(rows, "mmssl")
    epochs = [row for row in rows if int(row["epoch"])]
    if not epochs:
        return Verdict()
    health, of_health = _health(epochs)
    if health == "diverged":
        return Verdict(True, None, None, of_health, advise(epochs, variant, folder, "diverged"))
    measures = [measure for measure in (rank_measure(rows), knn_measure(rows)) if measure]
    gains = [_gain(measure) for measure in measures]
    trends = [_trend(measure) for measure in measures]
    gain = _over_all([gain for gain, _ in gains])
    trend = next((kind for kind in _ORDER if kind in [kind for kind, _ in trends]), "unknown")
    sentences = [*of_health, *(text for _, text in gains), *(text for _, text in trends)]
    if not measures:
        sentences.append(
            "Nothing was measured on validation studies, so whether it has learned anything "
            "useful cannot be told."
        )
    elif trend == "unknown":
        sentences.append(
            "Whether it still improves cannot be told: that takes at least "
            f"{FEWEST_LOOKS} looks at the validation studies."
        )
    state = "collapsed" if health == "collapsed" else trend if gain == "better" else gain
    if trend == "past its best" and health != "collapsed":
        state = trend
    return Verdict(
        None if health == "unknown" else health == "collapsed",
        None if gain == "unknown" else gain == "better",
        None if trend == "unknown" else trend == "improving",
        tuple(filter(None, sentences)),
        advise(epochs, variant, folder, state, _best_epoch(measures)),
    )


def _health(epochs: Rows) -> tuple[Health, tuple[str, ...]]:
    """Whether the features of the last epoch are sound."""
    last = epochs[-1]
    stds = {n[4:]: float(last[n]) for n in last if n.startswith("std/") and last[n] != ""}
    spaces = {
        name: f"{name.removesuffix('*')}{' after the fusion' * name.endswith('*')}" for name in stds
    }
    wrong = [spaces[name] for name, std in stds.items() if not math.isfinite(std)]
    if wrong:
        return "diverged", (f"Diverged: the features of {_and(wrong)} are not finite.",)
    if not stds:
        return "unknown", ()
    low = [f"{spaces[name]} ({std:.2f})" for name, std in stds.items() if std < COLLAPSED]
    if low:
        return "collapsed", (
            f"Collapsed: images are hardly told apart any more. The standard deviation of the "
            f"features is close to 0 in {_and(low)}; near 1 is healthy.",
        )
    least = min(stds, key=lambda name: stds[name])
    sound = (
        f"Not collapsed: the standard deviation of the features is at least {stds[least]:.2f} "
        f"({spaces[least]}; near 1 is healthy, below {COLLAPSED:g} is a collapse)."
    )
    for name in stds:
        ranks = series(epochs, f"rankme/{name}")
        if ranks and ranks[-1][1] < FEWER_DIMENSIONS * ranks[0][1]:
            return "narrow", (
                f"{sound} But {spaces[name]} uses few dimensions: its RankMe fell from "
                f"{ranks[0][1]:.1f} to {ranks[-1][1]:.1f}.",
            )
    return "sound", (sound,)


def _gain(measure: Measure) -> tuple[Gain, str]:
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


_ORDER: tuple[Trend, ...] = ("past its best", "worse", "improving", "flat")


def _trend(measure: Measure) -> tuple[Trend, str]:
    """Where the values of the second half are going."""
    looks = [(epoch, value) for epoch, value in measure.points if epoch]
    if len(looks) < FEWEST_LOOKS:
        return "unknown", ""
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
    if abs(gained) <= error or abs(gained) < least:
        return "flat", f"Since epoch {since} {measure.name} has not changed beyond its fluctuation."
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


def _over_all(gains: Sequence[Gain]) -> Gain:
    """Better where one is and none is worse; worse where one is and none is better."""
    kinds = {gain for gain in gains if gain != "unknown"}
    if not kinds:
        return "unknown"
    if "better" in kinds:
        return "same" if "worse" in kinds else "better"
    return "worse" if "worse" in kinds else "same"


def _best_epoch(measures: Sequence[Measure]) -> int:
    """The epoch of the best value of the first measure that is past it; 0 if none is."""
    for measure in measures:
        if _trend(measure)[0] == "past its best":
            looks = [point for point in measure.points if point[0]]
            return max(looks, key=lambda look: measure.gain(0, look[1]))[0]
    return 0


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
