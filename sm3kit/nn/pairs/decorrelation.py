"""Losses that compare partners and keep the dimensions of a space apart, without negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from sm3kit.nn.precision import full_precision
from sm3kit.nn.processes import sum_over_processes


def vicreg(
    a: Tensor,
    b: Tensor,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    present: Tensor | None = None,
    gather: bool = False,
) -> Tensor:
    """The variance-invariance-covariance loss of N pairs (a_i, b_i), a scalar.

    invariance * mean (a - b)^2 + variance * [v(a) + v(b)] / 2 + covariance * [c(a) + c(b)], where
    v is the mean over the P dimensions of max(0, 1 - sqrt(var + 1e-4)), and c the sum of the
    squared covariances of different dimensions, divided by P.

    Source: Bardes et al. 2022, arXiv:2105.04906, equations 1 to 6.
    Differs from the paper: the two variance terms are halved, as in the authors' code. Without
    absent pairs it equals lightly's VICRegLoss.

    Args:
        a, b: (N, P), computed with in float32 at least.
        invariance, variance, covariance: weights of the terms.
        present: (N,) bool; absent pairs do not count.
        gather: count the pairs of all processes, which may hold different numbers of them. The
            loss is then the same in each process, that of the joined batch.

    Returns:
        A zero with gradient where fewer than two pairs are present.
    """
    pairs = _Pairs(a, b, present, gather)
    width = a.shape[1]
    apart = pairs.sum((pairs.a - pairs.b).square().sum()) / (pairs.count.clamp(min=1) * width)
    hinges, spread = [], []
    for rows in (pairs.a, pairs.b):
        centred = pairs.centre(rows)
        table = pairs.sum(centred.T @ centred) / (pairs.count - 1).clamp(min=1)
        variances = table.diagonal()
        hinges.append((1 - (variances + 1e-4).sqrt()).relu().mean())
        spread.append((table - variances.diag()).square().sum() / width)
    loss = invariance * apart + variance * sum(hinges) / 2 + covariance * sum(spread)
    return loss * pairs.enough


def barlow_twins(
    a: Tensor,
    b: Tensor,
    *,
    redundancy: float = 5e-3,
    present: Tensor | None = None,
    gather: bool = False,
) -> Tensor:
    """The Barlow Twins loss of N pairs (a_i, b_i), a scalar.

    sum_i (1 - C_ii)^2 + redundancy * sum_{i!=j} C_ij^2, where C (P, P) are the correlations over
    the batch between the dimensions of a and those of b.

    Source: Zbontar et al. 2021, arXiv:2103.03230, equations 1 and 2.
    As in the paper. In one process and without absent pairs it equals lightly's BarlowTwinsLoss.

    Args:
        a, b: (N, P), computed with in float32 at least.
        redundancy: lambda; the paper's 0.005.
        present: (N,) bool; absent pairs do not count.
        gather: count the pairs of all processes, which may hold different numbers of them. The
            loss is then the same in each process, that of the joined batch.

    Returns:
        A zero with gradient where fewer than two pairs are present.
    """
    pairs = _Pairs(a, b, present, gather)
    count = pairs.count.clamp(min=1)
    normal = []
    for rows in (pairs.a, pairs.b):
        centred = pairs.centre(rows)
        variances = pairs.sum(centred.square().sum(dim=0)) / count
        normal.append(centred / (variances + 1e-5).sqrt())
    table = pairs.sum(normal[0].T @ normal[1]) / count
    own = table.diagonal()
    loss = (1 - own).square().sum() + redundancy * (table - own.diag()).square().sum()
    return loss * pairs.enough


class _Pairs:
    """Rows (N, P) of two sets with zeros where a pair is absent, and sums over all that count."""

    def __init__(self, a: Tensor, b: Tensor, present: Tensor | None, gather: bool) -> None:
        if present is None:
            present = torch.ones(len(a), dtype=torch.bool, device=a.device)
        self.absent, self.gather = ~present.unsqueeze(1), gather
        self.a, self.b = (full_precision(x).masked_fill(self.absent, 0.0) for x in (a, b))
        self.count = self.sum(present.sum().to(self.a.dtype))

    @property
    def enough(self) -> Tensor:
        """Whether there are two pairs, as a number: 1 or 0."""
        return (self.count > 1).to(self.a.dtype)

    def sum(self, values: Tensor) -> Tensor:
        """The values (...) of this process, or their sum over all processes."""
        return sum_over_processes(values) if self.gather else values

    def centre(self, rows: Tensor) -> Tensor:
        """Rows (N, P) less their mean; absent ones stay zeros."""
        mean = self.sum(rows.sum(dim=0)) / self.count.clamp(min=1)
        return (rows - mean).masked_fill(self.absent, 0.0)
