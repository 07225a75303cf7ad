"""ROC of one label: its reported class against the rest, or the mean of its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.metrics.predictions import LabelScores
from sm3kit.metrics.reporting import measured_classes, metrics_of
from sm3kit.results.lettering import legend_of, visible
from sm3kit.results.picture import COLUMN, FAINT, MARKERS, Picture, line_style, look, sheet

Array = npt.NDArray[Any]


def curve(label: LabelScores, positive_class: int) -> tuple[Array, Array]:
    """(false positive rate, sensitivity) at every threshold, from (0, 0) to (1, 1).

    Equal scores are one step, so that the area below is the AUC with ties as a half.

    Raises:
        ValueError: there is no positive or no negative case.
    """
    known = label.truth >= 0
    positive = label.truth[known] == positive_class
    if positive.all() or not positive.any():
        raise ValueError("a curve wants positive and negative cases")
    score = label.scores[known, positive_class]
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(positive[order])[last]
    alarms = last + 1 - hits
    return (
        np.concatenate([[0.0], alarms / (~positive).sum()]),
        np.concatenate([[0.0], hits / positive.sum()]),
    )


def mean_curve(curves: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """The mean sensitivity of several curves at each false positive rate.

    The area below is the mean of their areas: where a curve rises at one rate, so does the mean.
    """
    rates = np.unique(np.concatenate([rate for rate, _ in curves]))
    ends = [np.mean([_at(one, rates, side) for one in curves], axis=0) for side in (0, -1)]
    return rates.repeat(2), np.stack(ends, axis=1).ravel()


def _at(curve: tuple[Array, Array], rates: Array, side: int) -> Array:
    """The sensitivity at some rates; where a curve rises, its lowest (0) or highest (-1) there."""
    rate, sensitivity = curve
    values: Array = np.interp(rates, rate, sensitivity)
    for place in np.flatnonzero(np.isin(rates, rate)):
        values[place] = sensitivity[rate == rates[place]][side]
    return values


@look()
def roc_picture(name: str, scores: Mapping[str, LabelScores], least: int = 1) -> Picture | None:
    """The curves of a label; None if the AUC is undefined for all.

    Args:
        name: of the label.
        scores: {protocol: scores and truth}.
        least: cases that a class wants to enter the mean, as for `metrics_of`.
    """
    measured = {
        protocol: (label, numbers)
        for protocol, label in scores.items()
        if not np.isnan((numbers := metrics_of(label, least))["auc"])
    }
    if not measured:
        return None
    told = [f"{protocol}: AUC {100 * n['auc']:.1f}" for protocol, (_, n) in measured.items()]
    legend = legend_of([*told, "chance"], COLUMN - 0.7)
    side, below = COLUMN - 0.7, 0.6 + legend.height
    figure, (panel,) = sheet(COLUMN, side + below + 0.1, margins=(0.6, 0.1, below, 0.1))
    for place, (text, (label, numbers)) in enumerate(zip(told, measured.values(), strict=True)):
        style = line_style(place)
        curves = [curve(label, index) for index in measured_classes(label, least)]
        panel.plot(
            *(curves[0] if len(curves) == 1 else mean_curve(curves)), label=visible(text), **style
        )
        panel.plot(
            1 - numbers["spec"], numbers["sens"], marker=MARKERS[place % len(MARKERS)],
            color=style["color"], markersize=8, linestyle="none", clip_on=False, zorder=3,
        )  # fmt: skip
    panel.plot([0, 1], [0, 1], color=FAINT, linewidth=1, label="chance")
    first = next(iter(scores.values()))
    names = [first.classes[place] for place in measured_classes(first, least)]
    of, mean = (names[0], "") if len(names) == 1 else (f"{len(names)} classes", ", mean curve")
    panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    panel.set_xlabel("1 - specificity")
    panel.set_ylabel("sensitivity")
    legend.draw(figure, panel.get_legend_handles_labels()[0], 0.6, legend.height + 0.02)
    return Picture(
        f"roc-{name}",
        f"ROC of {name}",
        f"ROC curves of {of} against the rest. {'; '.join(told)}.",
        f"{of[0].upper()}{of[1:]} against the rest{mean}, at all thresholds; AUC in %. A marker shows "
        "sensitivity and specificity of the predicted (most likely) class, as in the table; in the "
        "lower left corner, the class is never predicted.",
        figure,
    )
