"""Reliability of the probabilities of one label, in bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.metrics.predictions import LabelScores

Array = npt.NDArray[Any]
BINS = 10


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
