"""A verdict in words on stage 1: collapsed or not, better than its start, still improving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sm3kit.core.variant import Variant
from sm3kit.nn.monitors import COLLAPSED
from sm3kit.runs.epoch_rows import Rows, of_stage, series
from sm3kit.runs.measures import (
    Gain,
    Measure,
    Trend,
    gain_of,
    knn_measure,
    rank_measure,
    trend_of,
)

Health = Literal["diverged", "collapsed", "narrow", "sound", "unknown"]


FEW_EPOCHS = 30
UNMOVED = 0.01  # Less than this share of the first loss is no learning.
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
    rows, kept = _as_kept(rows, variant)
    epochs = [row for row in rows if int(row["epoch"])]
    health, of_health = _health(epochs)
    if health == "diverged":
        return Verdict(True, None, None, of_health, _advise(epochs, variant, folder, "diverged"))
    measures = [measure for measure in (rank_measure(rows), knn_measure(rows)) if measure]
    gains = [gain_of(measure) for measure in measures]
    trends = [trend_of(measure) for measure in measures] if not kept else [("flat", kept)]
    gain = _over_all([gain for gain, _ in gains])
    trend = next((kind for kind in _ORDER if kind in [kind for kind, _ in trends]), "unknown")
    sentences = [*of_health, *(text for _, text in gains), *(text for _, text in trends)]
    if not measures:
        sentences.append(
            "Nothing was measured on validation studies, so whether it has learned anything "
            "useful cannot be told."
        )
    state = "collapsed" if health == "collapsed" else trend if gain == "better" else gain
    if trend == "past its best" and health != "collapsed":
        state = trend
    return Verdict(
        None if health == "unknown" else health == "collapsed",
        None if gain == "unknown" else gain == "better",
        None if trend == "unknown" else trend == "improving",
        tuple(dict.fromkeys(filter(None, sentences))),
        _advise(epochs, variant, folder, state, _best_epoch(measures)),
    )


def _as_kept(rows: Rows, variant: Variant) -> tuple[Rows, str]:
    """The rows up to the epoch whose weights early stopping keeps, and a sentence on it.

    The sentence is empty where the weights of the last epoch are kept.
    """
    best = series(rows, "best_epoch")
    if variant.stage1.stop_on == "none" or not best or not best[-1][1]:
        return rows, ""
    epoch, last = int(best[-1][1]), int(rows[-1]["epoch"])
    if epoch == last:
        return rows, ""
    words = f"Early stopping kept the networks of epoch {epoch}; no later look, up to epoch {last}, was better."
    return [row for row in rows if int(row["epoch"]) <= epoch], words


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


_ORDER: tuple[Trend, ...] = ("past its best", "worse", "improving", "unknown", "flat")


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
        if trend_of(measure)[0] == "past its best":
            looks = [point for point in measure.points if point[0]]
            return max(looks, key=lambda look: measure.gain(0, look[1]))[0]
    return 0


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _advise(
    epochs: Rows, variant: Variant, folder: str, state: str, best: int = 0
) -> tuple[str, ...]:
    """What to try next, the most promising first.

    Args:
        epochs: rows of stage 1.
        variant: of the run.
        folder: of the run.
        state: "diverged", "collapsed", a trend of what has gained, or a gain.
        best: the epoch after which it got worse; 0 if none.
    """
    settings, done = variant.stage1, int(epochs[-1]["epoch"])
    slower, faster = f"--lr {settings.lr / 10:g}", f"--lr {settings.lr * 10:g}"
    if state == "diverged":
        return (f"Try {slower}{'' if settings.precision == '32' else ', or --precision 32'}.",)
    if state == "collapsed":
        return (f"Try {slower}, or --batch-size {2 * settings.batch_size}.",)
    if state == "past its best":
        return (
            f"Try --epochs {best}, early stopping (-o stage1.stop_on=loss), a lower rate ({slower}), or "
            f"more studies: what is learned after epoch {best} does not carry over to others.",
        )
    longer = _longer(variant, folder, max(2 * done, FEW_EPOCHS))
    if state == "improving":
        return (longer, f"Measure it: sm3kit evaluate {folder}")
    if state in ("same", "worse"):
        return _without_gain(epochs, variant, longer, slower, faster)
    if state == "flat":
        return (
            f"Measure it: sm3kit evaluate {folder}",
            "More epochs alone are unlikely to help. A larger --batch-size or --image-size, another "
            "--backbone or --objective, or more studies may.",
        )
    if settings.monitor_every == 0:
        return ("Look at the validation studies now and then: -o stage1.monitor_every=5",)
    if not series(epochs, "knn_auc") and not any(name.startswith("rank/") for name in epochs[-1]):
        return (
            "Give the data a validation split, with labels or with pairs, to see what is learned.",
        )
    if state == "unknown":
        return (f"Measure it: sm3kit evaluate {folder}", longer)
    return ()


def _longer(variant: Variant, folder: str, epochs: int) -> str:
    """How to train for longer; stage 2 builds on the networks as they are."""
    if variant.stage == "mmssl":
        return f"Train on: sm3kit pretrain --resume --out {folder} --epochs {epochs}"
    return f"Train for longer, in a new run: --epochs {epochs}"


def _without_gain(
    epochs: Rows, variant: Variant, longer: str, slower: str, faster: str
) -> tuple[str, ...]:
    """What to try where nothing was gained: the loss tells the most likely reason."""
    losses = series(epochs, "loss")
    first, last = losses[0][1], losses[-1][1]
    advice = []
    if last > first + UNMOVED * abs(first):
        advice.append(f"The loss has risen from {first:.3g} to {last:.3g}: try {slower}.")
    elif first - last < UNMOVED * abs(first):
        advice.append(f"The loss has hardly moved ({first:.3g} to {last:.3g}): try {faster}.")
    if len(epochs) < FEW_EPOCHS:
        advice.append(f"{len(epochs)} epochs are few. {longer}")
    if variant.weights == "none":
        advice.append("Start from known weights: --weights imagenet")
    return (
        *advice,
        f"Let each step compare more studies: --batch-size {2 * variant.stage1.batch_size}",
    )[:3]
