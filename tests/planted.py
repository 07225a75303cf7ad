"""Planted partitions: embeddings of which it is known where they belong."""

import torch
from torch import Tensor

SHARES = (
    0.80,
    0.13,
    0.07,
)  # Such as the melanoma checklist has: a frequent class and two rare ones.


def planted(
    count: int, noise: float, seed: int, *, shares: tuple[float, ...] = SHARES, width: int = 512
) -> tuple[Tensor, Tensor]:
    """Embeddings (N, D) around centres of unit length, and the class (N,) of each.

    Args:
        count: N.
        noise: expected length of what is added to each centre, in lengths of a centre.
        seed: of the centres, the noise and the order.
        shares: of the classes.
        width: D.
    """
    numbers = torch.Generator().manual_seed(seed)
    ends = (torch.tensor(shares).cumsum(0) * count).round().long().clamp(max=count)
    truth = torch.bucketize(torch.arange(count), ends, right=True)
    truth = truth[torch.randperm(count, generator=numbers)]
    centres = torch.linalg.qr(torch.randn(width, len(shares), generator=numbers)).Q.T
    rows = centres[truth] + noise / width**0.5 * torch.randn(count, width, generator=numbers)
    return rows, truth
