"""Distillation of features from a frozen teacher, within one modality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sm3kit.core import ranges
from sm3kit.core.errors import OptionError
from sm3kit.nn.distillation import angles, relative_distances
from sm3kit.objectives.base import Features, Objective, Teaching


class Distill(Objective):
    """Brings features near those that a frozen teacher has of the same views; labels play no part.

    The terms are means over the views.

    Source: for cosine, Romero et al. 2015 (FitNets, arXiv:1412.6550, section 2.2), a regressor
    from the student to the width of the teacher, with the cosine distance of Ranzinger et al. 2024
    (AM-RADIO, arXiv:2312.06709, loss of summary features); for relational, Park et al. 2019
    (arXiv:1904.05068, equations 4 to 8), whose weights for classification are the defaults.
    Differs from FitNets: pooled features instead of maps, by cosine instead of squared distance.
    Differs from Park et al.: there is no loss of labels.

    Args:
        width: D of the features.
        teaching: what is known of the teacher.
        teacher: who teaches: the folder of a run; a file `RUN/eval/finetune-….safetensors` of its
            fine-tuned networks; a model such as `timm/resnet50` with its published weights; or a
            weight file.
        teacher_backbone: the model that a weight file is for; empty means that of the student.
        loss: "cosine", one minus the cosine between the projected features of the student and those
            of the teacher; "relational", distances between two images and angles of three, which
            leaves the student free to rotate and scale its space.
        distance, angle: weights of these two, for "relational".
    """

    wants_teacher: ClassVar[bool] = True

    def __init__(
        self,
        width: int,
        teaching: Teaching,
        *,
        teacher: str = "",
        teacher_backbone: str = "",
        loss: Literal["cosine", "relational"] = "cosine",
        distance: ranges.Amount = 25.0,
        angle: ranges.Amount = 50.0,
    ) -> None:
        super().__init__()
        self.weights = {"distance": distance, "angle": angle} if loss == "relational" else {}
        if loss == "relational" and not distance and not angle:
            raise OptionError(
                "The objective 'distill' has no term left: its weights distance and angle are zero."
            )
        if loss == "cosine":
            self.projection = nn.Linear(width, teaching.width)

    def forward(
        self,
        features: Features,
        targets: Features | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        group: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The terms of views [(B, D)] * V: "loss", or "distance" and "angle"; see the contract."""
        assert targets is not None
        assert not isinstance(features, Mapping)
        assert not isinstance(targets, Mapping)
        if not self.weights:
            own = self.projection(torch.cat(list(features)))
            return {"loss": 1 - F.cosine_similarity(own, torch.cat(list(targets))).mean()}
        relations = {"distance": relative_distances, "angle": angles}
        return {
            name: weight * _difference(relations[name], features, targets)
            for name, weight in self.weights.items()
            if weight
        }


def _difference(
    relation: Callable[[Tensor], Tensor], features: Sequence[Tensor], targets: Sequence[Tensor]
) -> Tensor:
    """Huber loss between relations of the images of a view, the mean over the views."""
    pairs = zip(features, targets, strict=True)
    return torch.stack(
        [F.smooth_l1_loss(relation(own), relation(wanted)) for own, wanted in pairs]
    ).mean()
