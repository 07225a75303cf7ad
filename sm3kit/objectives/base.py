"""The contract of objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from sm3kit.core.errors import VariantError
from sm3kit.nn.map_shape import MapShape

Features = Sequence[Tensor] | Mapping[str, Sequence[Tensor]]


@dataclass(frozen=True)
class Teaching:
    """What an objective that has a teacher is built for.

    Attributes:
        width: of the features of the teacher.
        counts: {label: how many training studies are of each of its C_k classes}, of the K labels
            that the training studies differ in; empty where nothing is labelled, and None for an
            objective that does not want labels.
        maps: the last feature maps of student and teacher; None where one of them has no maps, or
            the objective wants none.
    """

    width: int
    counts: Mapping[str, Sequence[int]] | None
    maps: tuple[MapShape, MapShape] | None

    def made_up(self, rows: int, views: int) -> dict[str, Any]:
        """Random arguments of `forward` beside the features, as a training gives them.

        Args:
            rows: B.
            views: V.
        """
        drawn: dict[str, Any] = {"targets": [torch.randn(rows, self.width) for _ in range(views)]}
        if self.counts is not None:
            drawn["labels"] = torch.randint(-1, 2, (rows, len(self.counts)))
            drawn["target_logits"] = [
                [torch.randn(rows, len(sizes)) for sizes in self.counts.values()]
                for _ in range(views)
            ]
        for name, shape in zip(("maps", "target_maps"), self.maps or (), strict=False):
            drawn[name] = [torch.randn(rows, shape.channels, 2, 2) for _ in range(views)]
        return drawn


class Objective(nn.Module):
    """Turns features of the views into named loss terms.

    Built as `Objective(width, **options)`, one instance per modality, or a single one where
    `on` is "streams". It is called outside autocast with float32 tensors.

    An objective that `wants_teacher` is built as `Objective(width, teaching, **options)`, and has
    the options `teacher` and `teacher_backbone`, which say who teaches. Its `forward` gets the
    features of the teacher as `targets`; if it `wants_labels`, the keywords `labels` (B, K), -1
    where unknown, and `target_logits` [[(B, C_k)] * K] * V of the teacher; and if it `wants_maps`
    and both have some, the last ones of student and teacher as `maps` and `target_maps`
    [(B, C, H, W)] * V.

    Attributes:
        on: "modality" gets the features [(B, D)] * V of one modality, present rows only;
            "streams" gets {stream: [(B, P)] * V} of a fusion; rows that `present` calls absent
            do not count, as if such a study were not in the batch.
        wants_target: asks for an EMA copy of the encoder; its features come as `targets`.
        wants_teacher: asks for a frozen teacher; only an objective on a modality can.
        wants_labels: asks for labels beside its teacher, and for what the teacher says of them.
        wants_maps: asks for feature maps beside the features of its teacher.
        wants_rotations: asks for four views of each image instead of the V of its modality:
            rotated by 0, 90, 180 and 270 degrees, each with augmentation of its own. All objectives of the
            run then get these.
        wants_local: takes the local views of a modality, too, small parts of the image in a small
            size that come last; others get the global views alone. The EMA encoder and the teacher
            see global views alone. Only an objective on a modality can.
        notes: what a user should know of the choices that were made, a line each.
    """

    on: ClassVar[Literal["modality", "streams"]] = "modality"
    wants_target: ClassVar[bool] = False
    wants_teacher: ClassVar[bool] = False
    wants_labels: ClassVar[bool] = False
    wants_maps: ClassVar[bool] = False
    wants_rotations: ClassVar[bool] = False
    wants_local: ClassVar[bool] = False
    notes: Sequence[str] = ()

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
            targets: features (B, D) per view from the EMA encoder if `wants_target`, or from the
                teacher if `wants_teacher`.
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
