"""Contrastive losses between two sets of vectors, with masks: NT-Xent, decoupled, and of CLIP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from sm3kit.nn.precision import full_precision
from sm3kit.nn.processes import gather_rows, gather_values, process_count


def pairwise_ntx(
    a: Tensor,
    b: Tensor,
    temperature: float | Tensor,
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
        temperature: t > 0; a scalar tensor learns.
        present: (N,) bool; absent pairs are neither anchors nor negatives.
        group: (N,) integers; rows of one group are never each other's negatives.
        symmetric: both sets are anchors, or a only.
        gather: negatives come from all processes, with gradients; every process must hold the
            same number of rows. The mean over processes of the result, as DDP takes it, is the
            loss of the joined batch.

    Returns:
        The mean over present anchors; a zero with gradient if there are none.
    """

    def losses(batch: _Batch) -> Tensor:
        partner, negative = batch.partner(), batch.negative()
        across = _only(batch.across() / temperature, negative | partner)
        within = _only(batch.within() / temperature, negative & ~partner)
        positive = batch.positive() / temperature
        return torch.logsumexp(torch.cat([across, within], dim=1), dim=1) - positive

    batch = _Batch.of(a, b, present, group, gather)
    return _mean_over_anchors(batch, losses, batch.everyone.present, symmetric)


def pairwise_clip(
    a: Tensor,
    b: Tensor,
    temperature: float | Tensor,
    *,
    present: Tensor | None = None,
    group: Tensor | None = None,
    symmetric: bool = True,
    gather: bool = False,
) -> Tensor:
    """The mean InfoNCE loss of N pairs (a_i, b_i), a scalar; negatives are of the other set alone.

    -log exp(s(a_i, b_i)/t) / sum_j exp(s(a_i, b_j)/t), with s the cosine similarity.

    Source: Radford et al. 2021, arXiv:2103.00020, figure 3. With `symmetric`, no masks and one
    process it is the mean of the two cross-entropies printed there.

    Args and returned value are those of `pairwise_ntx`.
    """

    def losses(batch: _Batch) -> Tensor:
        across = _only(batch.across() / temperature, batch.negative() | batch.partner())
        return torch.logsumexp(across, dim=1) - batch.positive() / temperature

    batch = _Batch.of(a, b, present, group, gather)
    return _mean_over_anchors(batch, losses, batch.everyone.present, symmetric)


def pairwise_dcl(
    a: Tensor,
    b: Tensor,
    temperature: float | Tensor,
    *,
    sigma: float = 0.0,
    present: Tensor | None = None,
    group: Tensor | None = None,
    gather: bool = False,
) -> Tensor:
    """The mean decoupled contrastive loss of N pairs (a_i, b_i), both sets as anchors, a scalar.

    NT-Xent without the positive in the denominator:
    -w_i s(a_i, b_i)/t + log sum_{j!=i} [exp(s(a_i, b_j)/t) + exp(s(a_i, a_j)/t)], with s the cosine
    similarity. The weight w_i is 1, or with `sigma` 2 - exp(s(a_i, b_i)/sigma) / mean_j
    exp(s(a_j, b_j)/sigma), which learns nothing.

    Source: Yeh et al. 2022, arXiv:2110.06848, equations 6 and 7, and section 3.2 on weights.
    Without masks it equals lightly's DCLLoss, and with `sigma` in one process its DCLWLoss.

    Args:
        a, b, temperature, present, group, gather: as for `pairwise_ntx`.
        sigma: 0 for no weights.

    Returns:
        The mean over present anchors that have a negative; a zero with gradient if there are none.
    """

    def losses(batch: _Batch) -> Tensor:
        negative = batch.negative()
        # An anchor without negatives does not count: any finite number takes its place.
        allowed = negative | ~negative.any(dim=1, keepdim=True)
        sides = (batch.across(), batch.within())
        similar = torch.cat([_only(x / temperature, allowed) for x in sides], dim=1)
        weight = batch.positive_weights(sigma) if sigma else 1.0
        return torch.logsumexp(similar, dim=1) - weight * batch.positive() / temperature

    batch = _Batch.of(a, b, present, group, gather)
    return _mean_over_anchors(batch, losses, batch.everyone.with_negatives(), symmetric=True)


def _only(similarities: Tensor, allowed: Tensor) -> Tensor:
    return similarities.masked_fill(~allowed, -torch.inf)


@dataclass(frozen=True)
class _Rows:
    """Anchors a, partners b, and which rows are real and belong together."""

    a: Tensor
    b: Tensor
    present: Tensor
    group: Tensor

    def swap(self) -> _Rows:
        return _Rows(self.b, self.a, self.present, self.group)

    def negatives_of(self, group: Tensor) -> Tensor:
        """Which rows are negatives of anchors of these groups, (anchors, rows) bool."""
        return self.present.unsqueeze(0) & (group.unsqueeze(1) != self.group.unsqueeze(0))

    def with_negatives(self) -> Tensor:
        """Which present rows (rows,) have a negative among all of them."""
        return self.present & self.negatives_of(self.group).any(dim=1)


@dataclass(frozen=True)
class _Batch:
    """The N rows of this process, those M of all processes, and where the former begin there."""

    local: _Rows
    everyone: _Rows
    offset: int

    @staticmethod
    def of(
        a: Tensor, b: Tensor, present: Tensor | None, group: Tensor | None, gather: bool
    ) -> _Batch:
        """Rows of unit length; without `gather` the rows of all processes are the own ones."""
        gather = gather and process_count() > 1
        offset = dist.get_rank() * len(a) if gather else 0
        if present is None:
            present = torch.ones(len(a), dtype=torch.bool, device=a.device)
        if group is None:
            group = torch.arange(len(a), device=a.device) + offset
        a, b = (F.normalize(full_precision(rows), dim=1) for rows in (a, b))
        local = everyone = _Rows(a, b, present, group)
        if gather:
            everyone = _Rows(
                *(gather_rows(x) for x in (a, b)), *(gather_values(x) for x in (present, group))
            )
        return _Batch(local, everyone, offset)

    def swap(self) -> _Batch:
        return _Batch(self.local.swap(), self.everyone.swap(), self.offset)

    def partner(self) -> Tensor:
        """Which row is the anchor's own pair, (N, M) bool."""
        rows = torch.arange(len(self.local.a), device=self.local.a.device)
        own = torch.zeros(len(rows), len(self.everyone.a), dtype=torch.bool, device=rows.device)
        own[rows, rows + self.offset] = True
        return own

    def negative(self) -> Tensor:
        """Which rows are negatives of an anchor, (N, M) bool."""
        return self.everyone.negatives_of(self.local.group)

    def across(self) -> Tensor:
        """Similarities (N, M) of the anchors to the rows of the other set."""
        return self.local.a @ self.everyone.b.T

    def within(self) -> Tensor:
        """Similarities (N, M) of the anchors to the rows of their own set."""
        return self.local.a @ self.everyone.a.T

    def positive(self) -> Tensor:
        """Similarities (N,) of the anchors to their partners."""
        return (self.local.a * self.local.b).sum(dim=1)

    def positive_weights(self, sigma: float) -> Tensor:
        """Weights (N,) of the positives, smaller for partners that are more alike than others."""
        everyone = self.everyone
        similar = (everyone.a * everyone.b).sum(dim=1).detach() / sigma
        lowest = torch.finfo(similar.dtype).min  # Not -inf: there may be no pair at all.
        shares = similar.masked_fill(~everyone.present, lowest).softmax(dim=0)
        weights = 2 - everyone.present.sum() * shares
        return weights[self.offset : self.offset + len(self.local.a)]


def _mean_over_anchors(
    batch: _Batch, losses: Callable[[_Batch], Tensor], counted: Tensor, symmetric: bool
) -> Tensor:
    """The mean of losses (N,) over the anchors that count, of M (M,) bool; both sets if symmetric."""
    rows = len(batch.local.a)
    left_out = ~counted[batch.offset : batch.offset + rows]
    total = losses(batch).masked_fill(left_out, 0.0).sum()
    anchors = counted.sum()
    if symmetric:
        total = total + losses(batch.swap()).masked_fill(left_out, 0.0).sum()
        anchors = anchors * 2
    # The mean over processes of the sums, divided by the anchors per process.
    processes = len(counted) // max(rows, 1)
    return total * processes / anchors.clamp(min=1)


def in_shards(count: int, shards: int) -> list[slice]:
    """Slices that cut `count` rows into shards of equal length, the last ones a row shorter.

    What several GPUs without gathered negatives do: each compares its own rows only.
    """
    base, longer = divmod(count, shards)
    cuts = [0]
    for shard in range(shards):
        cuts.append(cuts[-1] + base + (shard < longer))
    return [slice(start, stop) for start, stop in zip(cuts, cuts[1:], strict=False) if stop > start]
