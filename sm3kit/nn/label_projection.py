"""One linear projection per label."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LabelProjection(nn.Module):
    """Maps a joint feature (B, D) to K label vectors (B, K, P), a linear layer with bias each.

    Source: Wang et al. 2025, section 3.3; released code, projection v4.

    Args:
        width: D.
        labels: K.
        embedding: P.
    """

    def __init__(self, width: int, labels: int, embedding: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, embedding) for _ in range(labels))

    def forward(self, feature: Tensor) -> Tensor:
        """Label vectors (B, K, P)."""
        return torch.stack([head(feature) for head in self.heads], dim=1)
