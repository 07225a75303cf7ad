"""BYOL within one modality."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import Tensor, nn

from sm3kit.core import ranges
from sm3kit.objectives.base import Features, Objective, as_views


class BYOL(Objective):
    """Predicts the EMA encoder's projection of one view from the other view; no negatives.

    Source: Grill et al. 2020, arXiv:2006.07733, equations 1 and 2: 2 - 2 cos, both view orders.
    Differs from the paper: the momentum starts at 0.99, not 0.996, because a few hundred images
    give only a few thousand steps; views are the same for both branches.

    Args:
        width: D of the features.
        projection: P of the projection; 256.
        hidden: width of the hidden layer; 4096.
        momentum: the EMA momentum at the start; a cosine brings it to 1.
    """

    wants_target: ClassVar[bool] = True

    def __init__(
        self,
        width: int,
        *,
        projection: ranges.Width = 256,
        hidden: ranges.Width = 4096,
        momentum: ranges.Share = 0.99,
    ) -> None:
        super().__init__()
        self.projector = BYOLProjectionHead(width, hidden, projection)
        self.predictor = BYOLPredictionHead(projection, hidden, projection)
        self.target_projector = copy.deepcopy(self.projector)
        deactivate_requires_grad(self.target_projector)
        self.similarity = NegativeCosineSimilarity()
        self.momentum = momentum

    def forward(
        self,
        features: Features,
        targets: Features | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        group: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The loss of views [(B, D)] * V and the same views under the EMA encoder."""
        views = as_views(features)
        slow = as_views(targets if targets is not None else features)
        # Each view is a batch of its own for the batch norm, here and in the backbones.
        predicted = [self.predictor(self.projector(view)) for view in views]
        with torch.no_grad():
            wanted = [self.target_projector(view) for view in slow]
        terms = [
            2 + 2 * self.similarity(predicted[number], wanted[other])
            for number in range(len(views))
            for other in range(len(views))
            if number != other
        ]
        # Both orders add up for two views; more views keep that scale.
        return {"loss": 2 * torch.stack(terms).mean()}

    def update_target(self, encoder: nn.Module, target: nn.Module, progress: float) -> None:
        """Moves the EMA encoder and projector; parameters only, as lightly does."""
        now = 1 - (1 - self.momentum) * (1 + math.cos(math.pi * progress)) / 2
        update_momentum(encoder, target, now)
        update_momentum(self.projector, self.target_projector, now)
