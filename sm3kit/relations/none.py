"""No relation and no projection."""

from __future__ import annotations

from torch import Tensor

from sm3kit.relations.base import Relation


class NoRelation(Relation):
    """Uses the joint feature itself as the embedding of every label.

    Source: Wang et al. 2025, table 5, row no_proj. As in the paper's text.

    Args:
        width: D of the joint feature.
        labels: K.
    """

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.width, self.labels, self.embedding = width, labels, width

    def forward(self, feature: Tensor) -> Tensor:
        """The feature (B, D), seen K times as (B, K, D)."""
        return feature.unsqueeze(1).expand(-1, self.labels, -1)
