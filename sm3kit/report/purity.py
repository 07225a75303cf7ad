"""Neighbourhood purity: how often neighbours are of one class, the number beside a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
NEIGHBOURS = 10


@dataclass(frozen=True)
class Purity:
    """Shares between 0 and 1; NaN where nothing can be told.

    Attributes:
        value: mean share of the neighbours that are of the own class.
        chance: the same for neighbours drawn blindly.
        cases: with a known class and a neighbour.
    """

    value: float
    chance: float
    cases: int


def purity(rows: Array, truth: Array, groups: Array, neighbours: int = NEIGHBOURS) -> Purity:
    """The mean share of the nearest neighbours that are of a case's own class.

    Cases of one patient or lesion are no neighbours of each other, and cases of unknown class
    take no part. Of several at the same distance the first one counts.

    Args:
        rows: (N, D), compared by Euclidean distance.
        truth: (N,), the class, -1 where unknown.
        groups: (N,), the patient or lesion.
        neighbours: how many; fewer where there are not so many.
    """
    known = truth >= 0
    rows, truth, groups = rows[known].astype(float), truth[known], groups[known]
    if not len(rows):
        return Purity(float("nan"), float("nan"), 0)
    squares = (rows**2).sum(1)
    distance = squares[:, None] + squares - 2 * rows @ rows.T
    free = groups[:, None] != groups
    same = truth[:, None] == truth
    distance[~free] = np.inf
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :neighbours]
    there = np.take_along_axis(free, nearest, 1)
    hits = np.take_along_axis(same, nearest, 1) & there
    some = there.any(1)
    if not some.any():
        return Purity(float("nan"), float("nan"), 0)
    shares = hits[some].sum(1) / there[some].sum(1)
    blind = (same & free)[some].sum(1) / free[some].sum(1)
    return Purity(float(shares.mean()), float(blind.mean()), int(some.sum()))
