"""The contract of label relations."""

from __future__ import annotations

from torch import Tensor, nn

from sm3kit.core.errors import OptionError


class Relation(nn.Module):
    """Turns a joint feature into one embedding per label, jointly or independently.

    Built as `Relation(width, labels, **options)`.

    Attributes:
        width: length D of the joint feature.
        labels: number K of labels.
        embedding: length P of a label embedding.
        normed: whether embeddings leave a layer norm, so that all are about sqrt(P) long.
    """

    width: int
    labels: int
    embedding: int
    normed: bool = False

    def forward(self, feature: Tensor) -> Tensor:
        """Label embeddings (B, K, P) of joint features (B, D)."""
        raise NotImplementedError

    def attention(self, feature: Tensor) -> Tensor | None:
        """Attention (B, heads, K, K) from label to label; None without attention.

        Rows sum to one in eval mode; in training mode dropout is at work.
        """
        return None


def check_heads(embedding: int, heads: int) -> None:
    """Makes sure that attention heads can share an embedding.

    Raises:
        OptionError: they do not divide it.
    """
    if embedding % heads:
        raise OptionError(
            f"A relation needs a number of heads that divides its embedding of {embedding}, not "
            f"{heads}. Change the option heads, or embedding."
        )
