"""Self-attention between labels."""

from __future__ import annotations

from torch import Tensor, nn

from sm3kit.core import ranges
from sm3kit.nn.label_projection import LabelProjection
from sm3kit.relations.base import Relation, check_heads


class MSA(Relation):
    """Models the labels jointly with multi-head self-attention alone.

    Source: Wang et al. 2025, table 5, row msa; Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.
    Differs from the paper: the paper does not say whether a residual was used; by default there is
    none.

    Args:
        width: D of the joint feature.
        labels: K.
        embedding: P; the paper's 512.
        heads: attention heads; the paper's 1.
        dropout: dropout on the attention weights; the paper's 0.1.
        residual: adds the input of the attention to its output.
    """

    def __init__(
        self,
        width: int,
        labels: int,
        *,
        embedding: ranges.Width = 512,
        heads: ranges.Width = 1,
        dropout: ranges.ShareBelowOne = 0.1,
        residual: bool = False,
    ) -> None:
        super().__init__()
        check_heads(embedding, heads)
        self.width, self.labels, self.embedding, self.residual = width, labels, embedding, residual
        self.project = LabelProjection(width, labels, embedding)
        self.attend = nn.MultiheadAttention(embedding, heads, dropout, batch_first=True)

    def forward(self, feature: Tensor) -> Tensor:
        """Label embeddings (B, K, P)."""
        labels: Tensor = self.project(feature)
        attended: Tensor = self.attend(labels, labels, labels, need_weights=False)[0]
        return labels + attended if self.residual else attended

    def attention(self, feature: Tensor) -> Tensor:
        """Attention (B, heads, K, K); rows are the asking labels."""
        labels = self.project(feature)
        weights: Tensor = self.attend(labels, labels, labels, average_attn_weights=False)[1]
        return weights
