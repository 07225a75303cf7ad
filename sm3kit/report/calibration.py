"""Reliability of one label: do predicted probabilities match observed shares?"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sm3kit.metrics.predictions import LabelScores
from sm3kit.metrics.reliability import BINS, Reliability, reliability
from sm3kit.metrics.reporting import MIN_GROUPS
from sm3kit.results.lettering import line_count, wrap
from sm3kit.results.picture import COLOURS, COLUMN, FAINT, Picture, look, sheet

Array = npt.NDArray[Any]
Z = 1.96  # Of the normal distribution, for 95 %.


def wilson(share: Array, count: Array) -> tuple[Array, Array]:
    """The 95 % interval of shares of counts.

    Source: Wilson 1927, doi.org/10.1080/01621459.1927.10502953.
    """
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return middle - half, middle + half


@look()
def calibration_picture(
    name: str, label: LabelScores, protocol: str, *, interval: bool = True
) -> Picture | None:
    """Observed share against predicted probability; None without a known case.

    Args:
        name: of the label.
        label: its scores.
        protocol: how it was measured, in words.
        interval: whether the label has enough patients of its reported class for intervals.
    """
    bins = reliability(label)
    if not len(bins.counts):
        return None
    whose = label.reported or "the most likely class"
    below = wrap(f"predicted probability of {whose}", COLUMN - 1, 10, most=2)
    beside = wrap(f"observed share of {label.reported or 'correct predictions'}", 2.5, 10, most=2)
    margins = (0.6 + 0.17 * line_count([beside]), 0.12, 0.35 + 0.17 * line_count([below]), 0.12)
    figure, (upper, lower) = sheet(
        COLUMN, 4, 2, margins=margins, gaps=(0, 0.12), sharex=True, height_ratios=(4, 1)
    )
    upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    _draw_shares(upper, bins, interval=interval)
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    upper.set_ylabel(beside)
    width = 1 / BINS
    left = np.floor(np.minimum(bins.predicted, 1 - 1e-9) / width) * width
    lower.bar(
        left,
        bins.counts,
        width,
        align="edge",
        facecolor="white",
        edgecolor=COLOURS[0],
        hatch="////",
    )
    lower.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    lower.set_ylabel("studies")
    figure.align_ylabels([upper, lower])
    lower.set_xlabel(below)
    why = f"their bin has fewer than {MIN_GROUPS} studies"
    if not interval:
        why = f"{whose} has fewer than {MIN_GROUPS} positive or negative groups"
    pairs = zip(bins.predicted, bins.observed, bins.counts, strict=True)
    points = "; ".join(f"{p:.2f} predicted, {o:.2f} observed ({n})" for p, o, n in pairs)
    return Picture(
        f"calibration-{name}",
        f"Calibration of {name}",
        f"Reliability diagram, expected calibration error {bins.error:.3f}. {points}.",
        f"{protocol}. Expected calibration error {bins.error:.3f} over ten bins of equal width. On the "
        "diagonal, probabilities match observed shares; below it the network is overconfident. Error "
        f"bars are 95 % intervals (Wilson); hollow points have none, because {why}. The hatched "
        "histogram counts the studies in each bin.",
        figure,
    )


def _draw_shares(panel: Axes, bins: Reliability, *, interval: bool) -> None:
    """The observed share of each bin: with an interval, or hollow where there are too few."""
    enough = (bins.counts >= MIN_GROUPS) & interval
    low, high = wilson(bins.observed, bins.counts)
    ends = np.clip([bins.observed - low, high - bins.observed], 0, None)
    style: dict[str, Any] = {"color": COLOURS[0], "marker": "o", "linestyle": "none"}
    panel.errorbar(
        bins.predicted[enough], bins.observed[enough], ends[:, enough], capsize=3, elinewidth=1.2,
        clip_on=False, **style,
    )  # fmt: skip
    few = ~enough
    panel.plot(bins.predicted[few], bins.observed[few], fillstyle="none", clip_on=False, **style)
