"""A small perceptron for vectors, `mlp/64`."""

from __future__ import annotations

import re
from typing import Literal

from torch import Tensor, nn

from sm3kit.api import Backbone, OptionError, ranges


class MLP(Backbone):
    """Fully connected layers, `mlp/64` or `mlp/128x64`: each linear, normed, ReLU, dropout.

    The last number is the width of the feature. Views with a height and a width are averaged over
    both first; a vector (C, 1, 1) is used as it is. Layer norm is the default
    because it looks at one study alone: a missing modality changes no other row.

    Args:
        model: the widths of the layers, joined by `x`.
        channels: number C of values of a vector.
        norm: the normalisation of each layer.
        dropout: share of values that are left out in training, 0 or more, below 1.

    Raises:
        OptionError: the widths are no numbers.
    """

    def __init__(
        self,
        model: str,
        channels: int,
        *,
        norm: Literal["layer", "batch", "none"] = "layer",
        dropout: ranges.ShareBelowOne = 0.0,
    ) -> None:
        super().__init__()
        if not re.fullmatch(r"[1-9][0-9]*(x[1-9][0-9]*)*", model):
            raise OptionError(
                "The backbone 'mlp' needs the widths of its layers, mlp/64 or mlp/128x64, not "
                f"'mlp/{model}'."
            )
        layers: list[nn.Module] = []
        width = channels
        for wider in map(int, model.split("x")):
            layers += [nn.Linear(width, wider), *_norm(norm, wider), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
            width = wider
        self.layers = nn.Sequential(*layers)
        self.width = width

    @classmethod
    def example(cls) -> str:
        """A small model to try the laws on."""
        return "8"

    def forward(self, view: Tensor) -> Tensor:
        """Features (B, D) of views (B, C, H, W)."""
        features: Tensor = self.layers(view.mean(dim=(2, 3)))
        return features


def _norm(norm: str, width: int) -> list[nn.Module]:
    kinds: dict[str, type[nn.Module]] = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d}
    return [kinds[norm](width)] if norm in kinds else []
