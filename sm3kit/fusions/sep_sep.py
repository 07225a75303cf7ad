"""One stream per modality, each with its own projector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from sm3kit.core import ranges
from sm3kit.fusions.base import Fusion
from sm3kit.nn.mlp import Projector
from sm3kit.nn.named_modules import NamedModules


class SepSep(Fusion):
    """Projects each modality into the shared space with its own projector.

    Source: Wang et al. 2025, section 3.2 and table 5, row sep_sep. As in the released code: the
    projector treats each view as a separate batch.

    Args:
        widths: {modality: D}.
        projection: P; the paper's 128.
        hidden: width of the hidden layers; 0 means D, as in the release.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        projection: ranges.Width = 128,
        hidden: ranges.WidthOrAuto = 0,
    ) -> None:
        super().__init__(widths)
        self.projectors = NamedModules(
            {name: Projector(width, projection, hidden) for name, width in widths.items()}
        )

    def forward(
        self, features: Mapping[str, Sequence[Tensor]], present: Mapping[str, Tensor]
    ) -> dict[str, list[Tensor]]:
        """One stream per modality."""
        return {
            name: [self.projectors[name](view, present[name]) for view in views]
            for name, views in features.items()
        }
