"""Partial optimal transport of rows to columns whose masses are only wanted, not forced."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def transport(
    costs: Tensor,
    shares: Tensor,
    *,
    mass: float = 1.0,
    epsilon: float,
    gamma: float,
    iterations: int,
    tolerance: float,
    offset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The plan (N, k) that moves a part of the rows to the columns at the least cost.

    It minimises <Q, costs> + gamma KL(columns of Q || mass * shares) - epsilon H(Q). No row moves
    more than 1/N, and all together move `mass`: what stays goes to one more column, which costs
    nothing and takes exactly 1 - mass.

    Source: Zhang et al. 2024, P2OT, arXiv:2401.09266, section 4; scaling of relaxed
    sums: Chizat et al. 2018, arXiv:1607.05816. Computed in logarithms.

    Args:
        costs: (N, k).
        shares: (k,) wanted sums of the columns, which add up to one.
        mass: above 0 and at most 1.
        epsilon: weight of the entropy.
        gamma: weight of the divergence from the wanted sums.
        iterations: upper bound of the scalings of rows and columns.
        tolerance: stop when no logarithm of a scaling moves by more.
        offset: (k,) logarithms of scalings to go on from.

    Returns:
        The plan, and the logarithms (k,) of the scalings of the columns.
    """
    kernel, wanted = -costs / epsilon, shares.log() + math.log(mass)
    power = torch.full_like(wanted, gamma / (gamma + epsilon))
    offset = torch.zeros_like(wanted) if offset is None else offset
    if mass < 1:
        # Where it ends if the entropy weighs nothing.
        level = (kernel + offset).logsumexp(1).quantile(1 - mass)
        offset = torch.cat([offset, level.reshape(1)])
        kernel = torch.cat([kernel, torch.zeros_like(kernel[:, :1])], dim=1)
        wanted = torch.cat([wanted, wanted.new_tensor([math.log1p(-mass)])])
        power = torch.cat([power, torch.ones_like(power[:1])])
    for _ in range(iterations):
        # Rows add up to 1/N exactly, then columns move towards what is wanted.
        columns = (kernel + offset).log_softmax(1).logsumexp(0) - math.log(len(kernel)) - offset
        moved = power * (wanted - columns)
        still = float((moved - offset).abs().max()) < tolerance
        offset = moved
        if still:
            break
    plan = (kernel + offset).softmax(1) / len(kernel)
    return plan[:, : len(shares)], offset[: len(shares)]
