"""A Transformer encoder between labels."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from sm3kit.core import ranges
from sm3kit.nn.label_projection import LabelProjection
from sm3kit.relations.base import Relation, check_heads


class TE(Relation):
    """Models the labels jointly with several Transformer encoder layers.

    Source: Wang et al. 2025, table 5, row te.
    Differs from the paper: the paper does not give the number of layers; the default is 2.

    Args:
        width: D of the joint feature.
        labels: K.
        embedding: P; the paper's 512.
        layers: number of encoder layers.
        heads: attention heads; the paper's 1.
        feedforward: width of the feed-forward layer; the paper's 128.
        dropout: the paper's 0.1.
    """

    normed = True

    def __init__(
        self,
        width: int,
        labels: int,
        *,
        embedding: ranges.Width = 512,
        layers: ranges.Layers = 2,
        heads: ranges.Width = 1,
        feedforward: ranges.Width = 128,
        dropout: ranges.ShareBelowOne = 0.1,
    ) -> None:
        super().__init__()
        check_heads(embedding, heads)
        self.width, self.labels, self.embedding = width, labels, embedding
        self.project = LabelProjection(width, labels, embedding)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(embedding, heads, feedforward, dropout, batch_first=True)
            for _ in range(layers)
        )

    def forward(self, feature: Tensor) -> Tensor:
        """Label embeddings (B, K, P)."""
        related: Tensor = self.project(feature)
        for layer in self.layers:
            related = layer(related)
        return related

    def attention(self, feature: Tensor) -> Tensor:
        """Attention (B, heads, K, K) of the last layer; rows are the asking labels."""
        related = self.project(feature)
        *before, last = self.layers
        for layer in before:
            related = layer(related)
        attend = cast(nn.MultiheadAttention, last.self_attn)
        weights: Tensor = attend(related, related, related, average_attn_weights=False)[1]
        return weights
