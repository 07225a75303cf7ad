"""Reliability of one label: do predicted probabilities mean what they say?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.metrics.predictions import LabelScores
from sm3kit.results.picture import COLOURS, FAINT, Picture, look, sheet

Array = npt.NDArray[Any]
BINS = 10
Z = 1.96  # Of the normal distribution, for 95 %.


@dataclass(frozen=True)
class Reliability:
    """Bins of equal width that hold a case, from the least probability to the highest.

    Attributes:
        predicted: mean probability in each bin.
        observed: share of the class, or of right calls, in each bin.
        counts: cases in each bin.
        error: expected calibration error, the mean gap weighted by cases.
    """

    predicted: Array
    observed: Array
    counts: Array
    error: float


def reliability(label: LabelScores, bins: int = BINS) -> Reliability:
    """The reliability of the probability of the reported class, else of the most likely one.

    Source: Guo et al. 2017, arXiv:1706.04599, equations 2 and 3, with equal widths.
    """
    known = label.truth >= 0
    scores, truth = label.scores[known], label.truth[known]
    looked_at = label.reported_index if label.reported else scores.argmax(1)
    score = scores[np.arange(len(scores)), looked_at]
    positive = truth == looked_at
    place = np.minimum((score * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    used = counts > 0
    predicted = np.bincount(place, score, bins)[used] / counts[used]
    observed = np.bincount(place, positive, bins)[used] / counts[used]
    gaps = np.abs(predicted - observed) * counts[used]
    return Reliability(predicted, observed, counts[used], float(gaps.sum() / max(counts.sum(), 1)))


def wilson(share: Array, count: Array) -> tuple[Array, Array]:
    """The 95 % interval of shares of counts.

    Source: Wilson 1927, doi.org/10.1080/01621459.1927.10502953.
    """
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return middle - half, middle + half


@look()
def calibration_picture(name: str, label: LabelScores, protocol: str) -> Picture | None:
    """Observed share against predicted probability; None without a known case."""
    bins = reliability(label)
    if not len(bins.counts):
        return None
    whose = label.reported or "the most likely class"
    figure, (upper, lower) = sheet(
        4.2, 4.3, 2, margins=(0.65, 0.1, 0.5, 0.35), sharex=True, height_ratios=(4, 1)
    )
    low, high = wilson(bins.observed, bins.counts)
    ends = np.clip([bins.observed - low, high - bins.observed], 0, None)
    upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    upper.errorbar(
        bins.predicted, bins.observed, ends, color=COLOURS[0], marker="o", capsize=3,
        elinewidth=1.2, linestyle="none",
    )  # fmt: skip
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    upper.set_ylabel(f"share of {label.reported or 'right calls'}")
    upper.set_title(f"{name}: calibration error {bins.error:.3f}")
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
    lower.set_ylabel("studies")
    figure.align_ylabels([upper, lower])
    lower.set_xlabel(f"predicted probability of {whose}")
    pairs = zip(bins.predicted, bins.observed, bins.counts, strict=True)
    points = "; ".join(f"{p:.2f} predicted, {o:.2f} observed ({n})" for p, o, n in pairs)
    return Picture(
        f"calibration-{name}",
        f"Calibration of {name}",
        f"Reliability diagram, expected calibration error {bins.error:.3f}. {points}.",
        f"{protocol}; ten bins of equal width, bars are 95 % intervals (Wilson). On the diagonal a "
        f"probability of {whose} means what it says; below, the network is too sure.",
        figure,
    )
