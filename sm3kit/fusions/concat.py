"""One joint stream of concatenated features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sm3kit.core import ranges
from sm3kit.fusions.base import Fusion
from sm3kit.nn.mlp import Projector
from sm3kit.nn.present_rows import in_all


class Concat(Fusion):
    """Concatenates the features of all modalities, view by view, and projects the whole.

    Source: Wang et al. 2025, section 3.2 and table 5, row concat. As in the released code: one
    projector, as wide as the concatenation, which sees all views as one batch. Studies that lack a
    modality are ignored.

    Args:
        widths: {modality: D}.
        projection: P; the paper's 128.
        hidden: width of the hidden layers; 0 means the concatenated width, as in the release.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        projection: ranges.Width = 128,
        hidden: ranges.WidthOrAuto = 0,
    ) -> None:
        super().__init__(widths)
        self.projector = Projector(sum(widths.values()), projection, hidden)

    def forward(
        self, features: Mapping[str, Sequence[Tensor]], present: Mapping[str, Tensor]
    ) -> dict[str, list[Tensor]]:
        """The stream "joint"."""
        real = self.stream_present(present)["joint"]
        views = zip(*(features[name] for name in self.widths), strict=True)
        return {"joint": self.projector.together([torch.cat(v, dim=1) for v in views], real)}

    def stream_present(self, present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rows where every modality is present."""
        return {"joint": in_all([present[name] for name in self.widths])}
