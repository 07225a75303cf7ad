"""Rows in the few directions along which they differ most."""

from __future__ import annotations

import torch
from torch import Tensor


def principal_directions(rows: Tensor, count: int) -> Tensor:
    """The leading right singular vectors (D, count) of rows (N, D), around the origin.

    There are never more than N or D. They come from the smaller of the two matrices of products, in
    float64, so that what is small beside the mean of the rows is not lost.
    """
    rows = rows.double()
    count = min(count, *rows.shape)
    if len(rows) >= rows.shape[1]:
        _, vectors = torch.linalg.eigh(rows.T @ rows)
        leading: Tensor = vectors[:, -count:]
        return leading
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    # What has no length has no direction.
    lengths = values[-count:].clamp(min=0).sqrt()
    scale = torch.where(lengths > 1e-9 * lengths[-1], 1 / lengths, 0)
    directions: Tensor = rows.T @ vectors[:, -count:] * scale
    return directions
