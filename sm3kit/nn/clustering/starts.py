"""Centroids that a clustering starts from."""

from __future__ import annotations

import torch
from torch import Tensor

from sm3kit.nn.clustering.partitions import spread_rows


def complete_start(rows: Tensor, start: Tensor, generator: torch.Generator) -> Tensor:
    """The start (k, D), on the device of the rows, without its NaN.

    What holds NaN is replaced by rows that lie far from the rest of the start and from each other,
    as in k-means++.

    Args:
        rows: (N, D), at least k of them.
        start: (k, D); a row with NaN is a cluster without a start.
        generator: of the CPU, so that every device draws the same.
    """
    start = start.to(rows, copy=True)
    missing = start.isnan().any(dim=1)
    count = int(missing.sum())
    if count:
        start[missing] = spread_rows(rows, count, generator, start[~missing])
    return start
