"""One stream per modality through one shared projector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from sm3kit.core import ranges
from sm3kit.core.errors import VariantError
from sm3kit.fusions.base import Fusion
from sm3kit.nn.mlp import Projector


class SepShared(Fusion):
    """Projects all modalities into the shared space with one projector.

    Source: Wang et al. 2025, section 3.2 and table 5, row sep_shared. As in the released code:
    each modality and view is a separate batch, so that batch statistics belong to one modality
    in training, while the running statistics cover all. The order is view by view, and within a
    view modality by modality, since the running statistics depend on it.

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
                f"Fusion 'sep_shared' needs features of equal width, not {dict(widths)}. "
                "Use the same backbone for all modalities, or --fusion sep_sep."
            )
        self.projector = Projector(next(iter(widths.values())), projection, hidden)

    def forward(
        self, features: Mapping[str, Sequence[Tensor]], present: Mapping[str, Tensor]
    ) -> dict[str, list[Tensor]]:
        """One stream per modality."""
        streams: dict[str, list[Tensor]] = {name: [] for name in features}
        for views in zip(*features.values(), strict=True):
            for name, view in zip(features, views, strict=True):
                streams[name].append(self.projector(view, present[name]))
        return streams
