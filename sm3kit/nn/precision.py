"""The type of numbers that losses are computed in."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(values: Tensor) -> Tensor:
    """Values of half precision in float32; float32 and float64 as they are."""
    return values if values.dtype == torch.float64 else values.float()
