"""How much labels say of each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor


def association(known: Tensor, classes: Sequence[int]) -> Tensor:
    """Cramer's V of each two labels (K, K), from 0 to 1, over the studies where both are known.

    Source: Cramer 1946, Mathematical Methods of Statistics, section 21.9.
    As in the book: without a correction for few studies. It is 0 where a label has one class.

    Args:
        known: (N, K) int64, -1 where unknown.
        classes: C_k of each label.
    """
    values = torch.eye(len(classes))
    if not len(known):
        return values
    for one, other in combinations(range(len(classes)), 2):
        pairs = known[:, [one, other]]
        pairs = pairs[(pairs >= 0).all(dim=1)]
        places = pairs[:, 0] * classes[other] + pairs[:, 1]
        counts = torch.bincount(places, minlength=classes[one] * classes[other]).double()
        counts = counts.view(classes[one], classes[other])
        counts = counts[counts.sum(dim=1) > 0][:, counts.sum(dim=0) > 0]
        freedom = min(counts.shape) - 1
        if freedom > 0:
            expected = counts.sum(dim=1, keepdim=True) * counts.sum(dim=0) / len(pairs)
            chi2 = ((counts - expected).square() / expected).sum()
            values[one, other] = values[other, one] = (chi2 / len(pairs) / freedom).sqrt()
    return values
