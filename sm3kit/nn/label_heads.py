"""One classifier per label on label embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sm3kit.nn.precision import full_precision


class LabelHeads(nn.Module):
    """Logits of each label from its own embedding.

    Source: Wang et al. 2025, section 3.3; released code, eight linear heads.

    Args:
        embedding: P.
        classes: number of classes of each label.
        bias: whether heads have one; the prototypes of stage 2 have none.
    """

    def __init__(self, embedding: int, classes: Sequence[int], *, bias: bool = True) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(embedding, count, bias=bias) for count in classes)
        for head in self.heads:
            assert isinstance(head, nn.Linear)
            nn.init.normal_(head.weight, std=0.01)
            if bias:
                nn.init.zeros_(head.bias)

    def forward(self, embeddings: Tensor) -> list[Tensor]:
        """Logits [(B, C)] * K of embeddings (B, K, P), or of one feature (B, P) for all labels."""
        if embeddings.ndim == 2:
            return [head(embeddings) for head in self.heads]
        return [head(embeddings[:, label]) for label, head in enumerate(self.heads)]


def of_equal_length(embeddings: Tensor, normed: bool) -> Tensor:
    """Embeddings (..., P) brought to the length sqrt(P), which those of a layer norm have already.

    Differs from the paper: it does not say how embeddings without a layer norm are compared with
    prototypes; so they are compared by direction, like all others.
    """
    return embeddings if normed else F.normalize(embeddings, dim=-1) * embeddings.shape[-1] ** 0.5


def label_loss(
    logits: Sequence[Tensor],
    targets: Tensor,
    reduction: str = "mean",
    weights: Tensor | None = None,
    soft: Sequence[Tensor | None] = (),
) -> tuple[Tensor, list[Tensor]]:
    """Cross-entropy over all labels, and of each label.

    Source: Wang et al. 2025, equation 6, a sum over the labels; the release takes their mean.

    Args:
        logits: [(B, C)] * K.
        targets: (B, K) class of each label; -1 where unknown, which does not count.
        reduction: "mean" or "sum" over the labels.
        weights: (B, K) how much each target counts; None is 1 for all.
        soft: per label (B, C) targets that take the place of classes and weights, or None; how much
            a study counts is the sum of its row. Empty is None for all.

    Returns:
        The loss, and K losses; a label that nobody knows in this batch has a loss of zero.
    """
    terms = []
    for label, rows in enumerate(logits):
        spread = soft[label] if soft else None
        if spread is not None:
            terms.append(soft_loss(full_precision(rows), spread))
            continue
        own, how = targets[:, label], "sum" if weights is None else "none"
        costs = F.cross_entropy(full_precision(rows), own, ignore_index=-1, reduction=how)
        if weights is None:
            terms.append(mean_of_known(costs, own))
        else:
            terms.append(weighted_mean(costs, weights[:, label] * (own >= 0)))
    stacked = torch.stack(terms)
    return stacked.sum() if reduction == "sum" else stacked.mean(), terms


def soft_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of logits (B, C) with targets (B, C); zero, with a gradient, without any.

    A row of targets that adds up to 1 counts once, and one that adds up to less as much less.
    """
    costs = -(targets * logits.log_softmax(1)).sum()
    return costs / targets.sum().clamp(min=torch.finfo(costs.dtype).tiny)


def mean_of_known(costs: Tensor, labels: Tensor) -> Tensor:
    """The mean cost of the studies whose class is known; zero, with a gradient, without any.

    Args:
        costs: (B,), zero where the class is unknown; or their sum.
        labels: (B,) int64, -1 where unknown.
    """
    # 0 / 1 without known classes: a zero with gradient, not NaN.
    return costs.sum() / (labels >= 0).sum().clamp(min=1)


def weighted_mean(costs: Tensor, weights: Tensor) -> Tensor:
    """The mean cost by weights (B,); zero, with a gradient, where they are all zero."""
    return (costs * weights).sum() / weights.sum().clamp(min=torch.finfo(costs.dtype).tiny)
