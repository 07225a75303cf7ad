"""The normalised temperature-scaled cross-entropy between two sets of vectors, with masks."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from sm3kit.nn.precision import full_precision


def pairwise_ntx(
    a: Tensor,
    b: Tensor,
    temperature: float,
    *,
    present: Tensor | None = None,
    group: Tensor | None = None,
    symmetric: bool = True,
    gather: bool = False,
) -> Tensor:
    """The mean NT-Xent loss of N pairs (a_i, b_i), a scalar.

    Each anchor is compared with its partner (positive) and with all other rows of both sets
    (negatives):  -log exp(s(a_i, b_i)/t) / [sum_j exp(s(a_i, b_j)/t) + sum_{j!=i} exp(s(a_i, a_j)/t)],
    with s the cosine similarity. With `symmetric` the rows of b are anchors too.

    Source: Chen et al. 2020, arXiv:2002.05709, equation 1; Wang et al. 2025, equations 1 and 4.
    With `symmetric`, no masks and one process it equals lightly's NTXentLoss.

    Args:
        a, b: (N, P), any length; they are normalised here, in float32 at least.
        temperature: t > 0.
        present: (N,) bool; absent pairs are neither anchors nor negatives.
        group: (N,) integers; rows of one group are never each other's negatives.
        symmetric: both sets are anchors, or a only.
        gather: negatives come from all processes, with gradients; every process must hold the
            same number of rows. The mean over processes of the result, as DDP takes it, is the
            loss of the joined batch.

    Returns:
        The mean over present anchors; a zero with gradient if there are none.
    """
    if present is None:
        present = torch.ones(len(a), dtype=torch.bool, device=a.device)
    if group is None:
        group = torch.arange(len(a), device=a.device)
        if gather and _processes() > 1:
            group = group + dist.get_rank() * len(a)
    a, b = (F.normalize(full_precision(rows), dim=1) for rows in (a, b))
    everyone = _Rows(a, b, present, group)
    offset = 0
    if gather and _processes() > 1:
        everyone = _Rows(
            *(_gather(x) for x in (a, b)), *(_gathered_plain(x) for x in (present, group))
        )
        offset = dist.get_rank() * len(a)
    local = _Rows(a, b, present, group)
    total = _anchor_loss(local, everyone, offset, temperature)
    anchors = everyone.present.sum()
    if symmetric:
        total = total + _anchor_loss(local.swap(), everyone.swap(), offset, temperature)
        anchors = anchors * 2
    # The mean over processes of the sums, divided by the anchors per process.
    processes = len(everyone.a) // max(len(a), 1)
    return total * processes / anchors.clamp(min=1)


class _Rows:
    """Anchors, partners, and which rows are real and belong together."""

    def __init__(self, a: Tensor, b: Tensor, present: Tensor, group: Tensor) -> None:
        self.a, self.b, self.present, self.group = a, b, present, group

    def swap(self) -> _Rows:
        return _Rows(self.b, self.a, self.present, self.group)


def _anchor_loss(local: _Rows, everyone: _Rows, offset: int, temperature: float) -> Tensor:
    """The sum of the losses of the anchors local.a."""
    rows = torch.arange(len(local.a), device=local.a.device)
    own = torch.zeros(len(local.a), len(everyone.a), dtype=torch.bool, device=local.a.device)
    own[rows, rows + offset] = True
    negative = everyone.present.unsqueeze(0) & (
        local.group.unsqueeze(1) != everyone.group.unsqueeze(0)
    )
    across = (local.a @ everyone.b.T / temperature).masked_fill(~(negative | own), -torch.inf)
    within = (local.a @ everyone.a.T / temperature).masked_fill(~negative | own, -torch.inf)
    positive = (local.a * local.b).sum(dim=1) / temperature
    losses = torch.logsumexp(torch.cat([across, within], dim=1), dim=1) - positive
    return losses.masked_fill(~local.present, 0.0).sum()


def _processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Gather(torch.autograd.Function):
    """The rows of all processes; gradients of all processes come back and are added up."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """Rows (world * N, P) of rows (N, P)."""
        return _gathered_plain(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The gradient (N, P) of this process's rows."""
        (gradient,) = gradients
        total = gradient.clone(memory_format=torch.contiguous_format)  # Others may read it too.
        dist.all_reduce(total)
        return total.chunk(_processes())[dist.get_rank()]


def _gather(rows: Tensor) -> Tensor:
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def _gathered_plain(values: Tensor) -> Tensor:
    parts = [torch.empty_like(values) for _ in range(_processes())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def any_row(present: Tensor, gather: bool) -> Tensor:
    """1 if some row is present, else 0, as a scalar; of all processes with `gather`.

    Args:
        present: (N,) bool.
        gather: look at the rows of all processes.
    """
    if gather and _processes() > 1:
        present = _gathered_plain(present)
    return present.any().to(torch.float32)


def in_shards(count: int, shards: int) -> list[slice]:
    """Slices that cut `count` rows into shards of equal length, the last ones a row shorter.

    What several GPUs without gathered negatives do: each compares its own rows only.
    """
    base, longer = divmod(count, shards)
    cuts = [0]
    for shard in range(shards):
        cuts.append(cuts[-1] + base + (shard < longer))
    return [slice(start, stop) for start, stop in zip(cuts, cuts[1:], strict=False) if stop > start]
