"""One joint stream of summed features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sm3kit.core import ranges
from sm3kit.core.errors import VariantError
from sm3kit.fusions.base import Fusion
from sm3kit.nn.mlp import Projector
from sm3kit.nn.present_rows import in_any


class Sum(Fusion):
    """Adds the features of all modalities, view by view, and projects the sum.

    Source: Wang et al. 2025, table 5, row F4M-FS; the fusion of FusionM4Net (Tang et al. 2022,
    doi:10.1016/j.media.2021.102307). As in the released code: the projector sees all views as one
    batch. Where a modality is missing, the others are scaled up to the sum of all.

    Args:
        widths: {modality: D}; all equal.
        projection: P; the paper's 128.
        hidden: width of the hidden layers; 0 means D, as in the release.

    Raises:
        VariantError: the backbones have different widths.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        projection: ranges.Width = 128,
        hidden: ranges.WidthOrAuto = 0,
    ) -> None:
        super().__init__(widths)
        if len(set(widths.values())) != 1:
            raise VariantError(
                f"Fusion 'sum' needs features of equal width, not {dict(widths)}. "
                "Use the same backbone for all modalities, or --fusion concat."
            )
        self.projector = Projector(next(iter(widths.values())), projection, hidden)

    def forward(
        self, features: Mapping[str, Sequence[Tensor]], present: Mapping[str, Tensor]
    ) -> dict[str, list[Tensor]]:
        """The stream "joint"."""
        masks = torch.stack([present[name] for name in self.widths]).unsqueeze(2)
        scale = len(self.widths) / masks.sum(dim=0).clamp(min=1)
        real = self.stream_present(present)["joint"]
        views = zip(*(features[name] for name in self.widths), strict=True)
        sums = [(torch.stack(view) * masks).sum(dim=0) * scale for view in views]
        return {"joint": self.projector.together(sums, real)}

    def stream_present(self, present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rows where any modality is present."""
        return {"joint": in_any([present[name] for name in self.widths])}
