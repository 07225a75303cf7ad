"""The contract of backbones."""

from __future__ import annotations

from torch import Tensor, nn


class Backbone(nn.Module):
    """Turns an image view into a pooled feature vector.

    A provider is built as `Provider(model, channels, **options)`: the word on the command line
    is `provider/model`.

    Attributes:
        width: length D of the feature vector.
    """

    width: int

    @classmethod
    def example(cls) -> str:
        """The name of a small model of this provider; the laws are tried on it."""
        raise NotImplementedError

    def forward(self, view: Tensor) -> Tensor:
        """Features (B, D) of views (B, C, H, W), normalised float."""
        raise NotImplementedError

    def stem(self) -> list[nn.Parameter]:
        """The weights before the first block; fine-tuning of the layers leaves them as they are."""
        return []
