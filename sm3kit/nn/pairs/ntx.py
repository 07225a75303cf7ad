"""NT-Xent where all pairs are present and no two belong together."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from sm3kit.nn.processes import gather_rows, process_count


def ntx(a: Tensor, b: Tensor, temperature: float, *, gather: bool = False) -> Tensor:
    """The mean NT-Xent loss of N pairs (a_i, b_i) that all are present and of different groups.

    Source: Chen et al. 2020, arXiv:2002.05709, equation 1. It is lightly's NTXentLoss bit for bit,
    which picks its negatives by a mask, so that the host has to wait for a GPU in each step.

    Args:
        a, b: (N, P), any length; they are normalised here.
        temperature: t > 0.
        gather: see `pairwise_ntx`.
    """
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    whole_a, whole_b, own = a, b, torch.arange(len(a), device=a.device)
    if gather and process_count() > 1:
        whole_a, whole_b, own = gather_rows(a), gather_rows(b), own + dist.get_rank() * len(a)
    aa, ab, ba, bb = (
        torch.einsum("nc,mc->nm", anchors, others) / temperature
        for anchors, others in ((a, whole_a), (a, whole_b), (b, whole_a), (b, whole_b))
    )
    aa, bb = without(aa, own), without(bb, own)
    logits = [torch.cat([ab, aa], dim=1), torch.cat([ba, bb], dim=1)]
    return F.cross_entropy(torch.cat(logits), own.repeat(2))


def without(table: Tensor, columns: Tensor) -> Tensor:
    """A table (N, M) without one column (N,) in each row, (N, M - 1)."""
    others = torch.arange(table.shape[1] - 1, device=table.device).expand(len(table), -1)
    return table.gather(1, others + (others >= columns.unsqueeze(1)))
