"""The contract of fusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn


class Fusion(nn.Module):
    """Turns the features of all modalities into shared streams.

    Built as `Fusion(widths, **options)` with the feature width D of each modality by name.
    Everything holds for any number of modalities.

    Attributes:
        widths: {modality: D}.
        default_objective: learns from its streams where no objective on streams is named; empty
            for a fusion that gives none.
    """

    default_objective: ClassVar[str] = "crossmodal"

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.widths = dict(widths)

    def forward(
        self, features: Mapping[str, Sequence[Tensor]], present: Mapping[str, Tensor]
    ) -> dict[str, list[Tensor]]:
        """Streams {stream: [(B, P)] * V}; rows of absent modalities hold anything finite.

        Args:
            features: {modality: [(B, D)] * V}.
            present: {modality: (B,) bool}.
        """
        raise NotImplementedError

    def stream_present(self, present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Which rows of each stream are real, {stream: (B,) bool}; one stream per modality here."""
        return {modality: present[modality] for modality in self.widths}

    @property
    def joint_width(self) -> int:
        """Width J of the joint feature."""
        return sum(self.widths.values())

    def joint(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """The feature (B, J) that probes and stage 2 see: concatenated, absent rows as zeros.

        Source: Wang et al. 2025, section 3.3: both features are concatenated downstream.
        """
        parts = [features[name] * present[name].unsqueeze(1) for name in self.widths]
        return torch.cat(parts, dim=1)
