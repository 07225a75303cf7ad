"""No fusion: the modalities are trained independently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from sm3kit.fusions.base import Fusion


class NoFusion(Fusion):
    """Trains the modalities independently, without a cross-modal loss.

    Source: Wang et al. 2025, table 5, rows SimCLR, SwAV and BYOL. As in the paper.
    """

    default_objective: ClassVar[str] = ""

    def forward(
        self, features: Mapping[str, Sequence[Tensor]], present: Mapping[str, Tensor]
    ) -> dict[str, list[Tensor]]:
        """No streams."""
        return {}

    def stream_present(self, present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """No streams."""
        return {}
