"""The contract of objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from sm3kit.core.errors import VariantError

Features = Sequence[Tensor] | Mapping[str, Sequence[Tensor]]


class Objective(nn.Module):
    """Turns features of the views into named loss terms.

    Built as `Objective(width, **options)`, one instance per modality, or a single one where
    `on` is "streams". It is called outside autocast with float32 tensors.

    Attributes:
        on: "modality" gets the features [(B, D)] * V of one modality, present rows only;
            "streams" gets {stream: [(B, P)] * V} of a fusion; rows that `present` calls absent
            do not count, as if such a study were not in the batch.
        wants_target: asks for an EMA copy of the encoder; its features come as `targets`.
    """

    on: ClassVar[Literal["modality", "streams"]] = "modality"
    wants_target: ClassVar[bool] = False

    def forward(
        self,
        features: Features,
        targets: Features | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        group: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss terms, each a scalar; the term "loss" goes by the objective's own name.

        Args:
            features: see `on`.
            targets: features (B, D) per view from the EMA encoder, if `wants_target`.
            present: {stream: (B,) bool}, only for objectives on streams.
            group: (B,) integer code of the patient or lesion; equal codes are no negatives.
                None means that no two rows belong together.
        """
        raise NotImplementedError

    def before_step(self, progress: float) -> None:
        """Runs before every optimiser step; `progress` grows from 0 to 1 over the training."""

    def update_target(self, encoder: nn.Module, target: nn.Module, progress: float) -> None:
        """Moves the EMA copy of an encoder towards it, if `wants_target`."""


def as_views(features: Features) -> list[Tensor]:
    """The views [(B, D)] * V of one modality; streams are a mistake of the caller.

    Raises:
        VariantError: there is one view, and nothing to compare it with.
    """
    assert not isinstance(features, Mapping)
    if len(features) < 2:
        raise VariantError(
            "An objective within a modality compares views of an image with each other, and there "
            "is only one. Set the option views of its modality to 2 or more."
        )
    return list(features)
