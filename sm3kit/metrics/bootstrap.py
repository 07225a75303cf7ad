"""Intervals by a bootstrap over patients: the same draws for every label and every run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.core.errors import OptionError

Array = npt.NDArray[Any]
ROUNDING = 1e-12
MOST = 2**24  # Weights of cases that are held at once.


def case_weights(groups: Array, resamples: int, seed: int) -> Array:
    """How often each case counts in each resample, when groups are drawn with replacement.

    All cases of a group (a patient, a lesion) come and go together. Where each case is a group
    of its own this is the plain bootstrap of cases. A draw depends on the names of the groups
    and the seed, not on the order of the cases.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 6; Davison and
    Hinkley 1997, Bootstrap Methods and their Application, section 3.8, for whole groups.

    Args:
        groups: (N,), the group of each case.
        resamples: number R of draws.
        seed: another seed gives other draws.

    Returns:
        (R, N) of int32; use the same for everything that is to be compared.

    Raises:
        OptionError: the number of resamples is negative.
    """
    return np.concatenate([*weightings(groups, resamples, seed)])[1:]


def weightings(groups: Array, resamples: int, seed: int) -> Iterator[Array]:
    """All cases once, then the R draws of `case_weights`, in blocks that fit into memory.

    Yields:
        (r, N) of int32, 1 + R rows in all; one block unless there are millions of weights.

    Raises:
        OptionError: the number of resamples is negative.
    """
    if resamples < 0:
        raise OptionError(
            f"resamples={resamples} must be 0 or more. Try 2000; 0 leaves out the intervals."
        )
    names, group = np.unique(groups, return_inverse=True)
    count, rng = len(names), np.random.default_rng(seed)
    most = max(1, MOST // max(1, len(groups)))
    first = np.ones((1, len(groups)), np.int32)
    if not resamples:
        yield first
    for start in range(0, resamples, most):
        rows = min(most, resamples - start)
        # One block after the other, a generator draws what it draws at once.
        places = rng.integers(max(count, 1), size=(rows, count)) + np.arange(rows)[:, None] * count
        times = np.bincount(places.ravel(), minlength=rows * count).reshape(rows, count)
        drawn = times.astype(np.int32)[:, group]
        yield drawn if start else np.concatenate([first, drawn])


def interval(values: Array, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of resampled values (R,).

    Source: Efron and Tibshirani 1993, section 13.3.

    Args:
        values: NaN in the resamples where the metric is undefined; these are left out.
        level: share of the values inside.

    Returns:
        (low, high); NaN if fewer than half of the resamples are defined: what is left then says
        little about the others.
    """
    rest = _finite(values)
    if not len(rest):
        return float("nan"), float("nan")
    low, high = np.quantile(rest, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def share_above_zero(values: Array) -> float:
    """The share of resampled differences (R,) that are above zero; no difference is not above.

    NaN as in `interval`, if fewer than half of the resamples are defined.
    """
    rest = _finite(values)
    return float((rest > ROUNDING).mean()) if len(rest) else float("nan")


def _finite(values: Array) -> Array:
    rest = values[~np.isnan(values)]
    return rest if 2 * len(rest) >= len(values) else rest[:0]
