"""A projection per label, without relation."""

from __future__ import annotations

from torch import Tensor

from sm3kit.core import ranges
from sm3kit.nn.label_projection import LabelProjection
from sm3kit.relations.base import Relation


class Proj(Relation):
    """Projects the joint feature once per label; labels are modelled independently.

    Source: Wang et al. 2025, table 5, row proj. As in the paper.

    Args:
        width: D of the joint feature.
        labels: K.
        embedding: P; the paper's 512.
    """

    def __init__(self, width: int, labels: int, *, embedding: ranges.Width = 512) -> None:
        super().__init__()
        self.width, self.labels, self.embedding = width, labels, embedding
        self.project = LabelProjection(width, labels, embedding)

    def forward(self, feature: Tensor) -> Tensor:
        """Label embeddings (B, K, P)."""
        projected: Tensor = self.project(feature)
        return projected
