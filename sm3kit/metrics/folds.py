"""Folds that keep the cases of a patient or lesion together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def group_folds(groups: Array, strata: Array, folds: int, seed: int) -> Array:
    """The fold (N,) of each case; all cases of a group have the same.

    Groups are shuffled, then dealt out stratum by stratum, the rarest first, so that each fold has
    its share of every stratum; a group belongs to the rarest stratum of its cases. The folds depend
    on the names of the groups and the seed, not on the order of the cases.

    Args:
        groups: (N,), the group of each case.
        strata: (N,) integers, such as the class of each case.
        folds: how many, at most as many as there are groups.
        seed: another seed gives other folds.
    """
    names, group = np.unique(groups, return_inverse=True)
    _, stratum, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    place = np.argsort(np.argsort(sizes, kind="stable"))[stratum]  # 0 for the rarest.
    rarest = np.full(len(names), len(sizes))
    np.minimum.at(rarest, group, place)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(rarest[shuffled], kind="stable")]
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % min(folds, max(len(names), 1))
    return fold[group]
