"""Labels that share a partition are told apart: dependence between soft assignments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from sm3kit.nn.precision import full_precision

# The temperature of the assignments, in standard deviations of the logits around the mean of each
# study. Stage 2 itself has logits of up to sqrt(P), 22.6 at 512: its assignments are nearly hard,
# and what is hard has no gradient.
SOFTNESS = 0.5


def soft_assignments(logits: Sequence[Tensor]) -> list[Tensor]:
    """The shares [(B, C)] * K of each study in the clusters of each label, soft enough to learn from.

    They do not depend on the scale of the logits: neither on P, nor on the temperature of the
    cross-entropy, nor on how close the prototypes of a label lie.

    Args:
        logits: [(B, C)] * K.
    """
    shares = []
    for rows in logits:
        centred = full_precision(rows) - rows.mean(1, keepdim=True)
        spread = centred.detach().square().mean().sqrt().clamp(min=1e-6)
        shares.append(torch.softmax(centred / (SOFTNESS * spread), dim=1))
    return shares


def dependence(first: Tensor, second: Tensor) -> Tensor:
    """How far two soft partitions are from independent: || P^T Q / B - p q^T ||, Frobenius.

    Zero for independent ones; equal hard partitions into two halves have 0.5, the most that there
    is, and into three thirds sqrt(2) / 3. Independent ones of B studies have about
    sqrt((1 - |p|^2) (1 - |q|^2) / B) by chance.

    Args:
        first: P (B, C), rows that add up to 1; p (C,) is their mean.
        second: Q (B, D), likewise.
    """
    joint = first.T @ second / len(first)
    # Not a root of a sum: the gradient of this norm at zero is zero.
    length: Tensor = torch.linalg.vector_norm(joint - torch.outer(first.mean(0), second.mean(0)))
    return length


def diversity_loss(assignments: Sequence[Tensor], target: float) -> Tensor:
    """What the dependence of each two labels has above a target, summed over the pairs.

    Source: after DivClust, Maniadis Metaxas, Tzimiropoulos and Patras 2023, arXiv:2304.01042,
    section 3, which bounds the similarity of clusterings from above.
    Differs from DivClust: dependence, where it compares the columns of two clusterings by their
    cosine; and a target that stays, where it adapts one to a wanted similarity.

    Args:
        assignments: soft, [(B, C)] * K.
        target: dependence that costs nothing.
    """
    costs = [
        torch.relu(dependence(first, second) - target)
        for first, second in combinations(assignments, 2)
    ]
    return torch.stack(costs).sum() if costs else assignments[0].new_zeros(())
