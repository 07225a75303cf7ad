"""The projector of SM3."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sm3kit.nn.host.values import derive
from sm3kit.nn.present_rows import among_zeros, count_present, rows_of


class Projector(nn.Module):
    """Maps features (B, D) to projections (B, P) through three linear layers.

    Linear(D, H) - BN - ReLU - Linear(H, H) - BN - ReLU - Linear(H, P) - BN without affine; no
    biases.

    Source: Wang et al. 2025, section 3.2, "MLP"; layers as in the released code, which are those
    of SimSiam's projector (Chen and He 2021, arXiv:2011.10566, section 3).

    Args:
        width: D.
        projection: P; the paper's 128.
        hidden: H; 0 takes D, as the release does.
    """

    def __init__(self, width: int, projection: int = 128, hidden: int = 0) -> None:
        super().__init__()
        hidden = hidden or width
        self.projection = projection
        self.layers = nn.Sequential(
            nn.Linear(width, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, projection, bias=False),
            nn.BatchNorm1d(projection, affine=False),
        )

    def forward(self, features: Tensor, present: Tensor | None = None) -> Tensor:
        """Projections (B, P); rows that are not present are zeros and touch no statistics.

        Args:
            features: (B, D).
            present: (B,) bool; None means all. In training fewer than two present rows have no
                batch statistics, and all projections are zeros.
        """
        count = len(features) if present is None else count_present(present)
        if count < (2 if self.training else 1):
            return features.new_zeros(len(features), self.projection)
        if present is None or count == len(features):
            projected: Tensor = self.layers(features)
            return projected
        # Autocast may change the type.
        return among_zeros(self.layers(rows_of(features, present)), present)

    def together(self, views: Sequence[Tensor], present: Tensor) -> list[Tensor]:
        """Projections [(B, P)] * V of views that are one batch of V * B rows for the batch norm.

        Args:
            views: [(B, D)] * V.
            present: (B,) bool, the same for all views.
        """
        count = len(views)
        whole = derive(present.repeat(count), [present], lambda values: np.tile(values[0], count))
        projected = self(torch.cat(list(views)), whole)
        return list(projected.chunk(len(views)))
