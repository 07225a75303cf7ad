"""One Transformer encoder layer between labels."""

from __future__ import annotations

from torch import Tensor, nn

from sm3kit.core import ranges
from sm3kit.nn.label_projection import LabelProjection
from sm3kit.relations.base import Relation, check_heads


class TEL(Relation):
    """Models the labels jointly with one Transformer encoder layer.

    Source: Wang et al. 2025, section 3.3 and table 5, row tel, the final SM3. As in the released
    code: post-norm, ReLU, no position or label embedding.

    Args:
        width: D of the joint feature.
        labels: K.
        embedding: P; the paper's 512.
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
        heads: ranges.Width = 1,
        feedforward: ranges.Width = 128,
        dropout: ranges.ShareBelowOne = 0.1,
    ) -> None:
        super().__init__()
        check_heads(embedding, heads)
        self.width, self.labels, self.embedding = width, labels, embedding
        self.project = LabelProjection(width, labels, embedding)
        self.layer = nn.TransformerEncoderLayer(
            embedding, heads, feedforward, dropout, batch_first=True
        )

    def forward(self, feature: Tensor) -> Tensor:
        """Label embeddings (B, K, P)."""
        related: Tensor = self.layer(self.project(feature))
        return related

    def attention(self, feature: Tensor) -> Tensor:
        """Attention (B, heads, K, K); rows are the asking labels."""
        labels = self.project(feature)
        weights: Tensor = self.layer.self_attn(labels, labels, labels, average_attn_weights=False)[
            1
        ]
        return weights
