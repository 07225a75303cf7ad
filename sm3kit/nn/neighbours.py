"""Votes of the nearest neighbours on several labels at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sm3kit.core.errors import DataError
from sm3kit.nn.finite import not_finite

MOST = 2**26  # Similarities that are held at once: 256 MiB.


def votes(
    queries: Tensor,
    bank: Tensor,
    truth: Tensor,
    classes: Sequence[int],
    neighbours: Sequence[int],
    temperature: float,
    groups: tuple[Tensor, Tensor] | None = None,
    chunk: int = 1024,
) -> list[list[Tensor]]:
    """Class probabilities [(N, C)] * K for each number of neighbours.

    Source: Wu et al. 2018, arXiv:1805.01978, section 3.4: votes weigh exp(s / t).

    Args:
        queries: (N, D) unit vectors.
        bank: (M, D) unit vectors.
        truth: (M, K) classes, -1 where unknown.
        classes: number of classes of each label.
        neighbours: numbers k, each at most M.
        temperature: of the weights exp(s / t).
        groups: (N,) and (M,), the patient or lesion of each query and of each row of the bank; who
            is of the same does not vote.
        chunk: queries that are searched at once, fewer in a bank of more than 65,536.

    Raises:
        DataError: some vectors are not finite. NaN is near to nobody, and would vote as well.
    """
    bad = not_finite({"queries": queries, "bank": bank})
    if bad:
        raise DataError(
            f"Neighbours need finite features, and the {' and the '.join(bad)} hold NaN or "
            "infinity. Lower the learning rate of the training that made them."
        )
    parts: list[list[list[Tensor]]] = []
    # The table of all similarities is never held.
    chunk = max(1, min(chunk, MOST // max(1, len(bank))))
    for start in range(0, len(queries), chunk):
        similarity = queries[start : start + chunk] @ bank.T
        if groups is not None:
            own = groups[0][start : start + chunk].unsqueeze(1)
            similarity.masked_fill_(own == groups[1], -torch.inf)
        near, places = similarity.topk(max(neighbours), dim=1)
        weights = ((near - near[:, :1]) / temperature).exp().nan_to_num(0.0).double()
        parts.append(
            [
                [
                    _shares(weights[:, :k], truth[places[:, :k], label], count)
                    for label, count in enumerate(classes)
                ]
                for k in neighbours
            ]
        )
    return [
        [torch.cat([part[n][label] for part in parts]) for label in range(len(classes))]
        for n in range(len(neighbours))
    ]


def _shares(weights: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Shares (B, C) of the weighted votes; even where no neighbour knows the label."""
    known = labels >= 0
    totals = weights.new_zeros(len(weights), classes)
    totals.scatter_add_(1, labels.clamp(min=0), weights * known)
    return (totals + 1e-12) / (totals + 1e-12).sum(dim=1, keepdim=True)
