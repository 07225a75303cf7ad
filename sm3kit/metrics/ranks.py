"""How well partners find each other, from the rank of each true partner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.core.errors import DataError

SIGMAS = 1.96  # Of a normal distribution, for 95 %.


def rank_summary(ranks: npt.NDArray[Any]) -> dict[str, float]:
    """Mean and median rank, accuracy at 1 and at 5, and the mean rank of a blind guess.

    A tie counts against the accuracy: the middle rank 1.5 of two is not among the first one.

    Source: Wang et al. 2025, table 6; the paper does not say whether it counts from 0 or 1.

    Args:
        ranks: (N,), from 1, the middle rank among equals; the gallery has N entries.

    Returns:
        {"mean_rank", "median_rank", "acc@1", "acc@5", "n", "chance"}; NaN if there is no rank.

    Raises:
        DataError: a rank is NaN, infinite or below 1. NaN is never within the first five.
    """
    count = len(ranks)
    wrong = int((~(np.isfinite(ranks) & (ranks >= 1))).sum())
    if wrong:
        raise DataError(
            f"Ranks count from 1, and {wrong} of {count} are NaN, infinite or below it. Rank "
            "finite embeddings."
        )
    if not count:
        names = ("mean_rank", "median_rank", "acc@1", "acc@5", "chance")
        return {**dict.fromkeys(names, float("nan")), "n": 0}
    return {
        "mean_rank": float(np.mean(ranks)),
        "median_rank": float(np.median(ranks)),
        "acc@1": float(np.mean(ranks <= 1)),
        "acc@5": float(np.mean(ranks <= 5)),
        "n": count,
        "chance": (count + 1) / 2,
    }


def is_by_chance(metric: str, value: float, count: int) -> bool:
    """Whether blind guessing does as well: the value is within what it gives in 95 of 100 cases.

    By chance the rank of a partner is uniform on 1 to N: its mean over N queries has the
    expectation (N + 1) / 2 and the variance (N^2 - 1) / (12 N), an accuracy at k those of k / N.

    Args:
        metric: `mean_rank`, or an accuracy such as `acc@5`.
        value: of the metric, accuracies as fractions.
        count: N, the pairs.
    """
    if metric == "mean_rank":
        return value >= (count + 1) / 2 - SIGMAS * math.sqrt((count**2 - 1) / (12 * count))
    share = min(1.0, int(metric.partition("@")[2]) / count)
    return value <= share + SIGMAS * math.sqrt(share * (1 - share) / count)


def first_of_each(keys_per_study: Sequence[Sequence[str]]) -> list[int]:
    """The indices of the studies that share no image with an earlier study.

    A gallery of these holds no image twice, so that every query has one right answer.

    Args:
        keys_per_study: the keys of the images of each study; equal images have equal keys.
    """
    seen: set[str] = set()
    first = []
    for index, keys in enumerate(keys_per_study):
        if seen.isdisjoint(keys):
            first.append(index)
        seen.update(keys)
    return first
