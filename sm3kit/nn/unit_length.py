"""Vectors of unit length, however large or small their numbers are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def unit_length(rows: Tensor) -> Tensor:
    """Finite rows (..., D) with a length of one; rows of zeros stay zeros.

    The squares of numbers above 1e19 overflow in float32. Each row is divided by a power of two
    before, which rounds nothing.
    """
    _, exponents = torch.frexp(rows.abs().amax(dim=-1, keepdim=True))
    return F.normalize(torch.ldexp(rows, -exponents), dim=-1)
