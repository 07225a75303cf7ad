"""VICReg within one modality."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from lightly.models.modules.heads import VICRegProjectionHead
from torch import Tensor

from sm3kit.core import ranges
from sm3kit.nn.pairs.decorrelation import vicreg
from sm3kit.objectives.base import Features, Objective, as_views


class VICReg(Objective):
    """Brings views together, keeps every dimension spread and all dimensions uncorrelated.

    It has no negatives, so images of the same patient or lesion need no mask.

    Source: Bardes et al. 2022, arXiv:2105.04906, equations 1 to 6.
    Differs from the paper: the variance terms are halved, as in the authors' code, and P is 512
    instead of 8192: a batch of tens or a few hundred images cannot fill more dimensions, and the
    projector would have a hundred times more weights than a small backbone. With more than two
    views, the mean over all pairs of views. Batch norm treats each view as a separate batch, as in
    the authors' code.

    Args:
        width: D of the features.
        projection: P; the paper's is 8192.
        hidden: width of the hidden layers; 0 means P, as in the paper.
        invariance: weight of the distance of two views; 25.
        variance: weight of the term that keeps the standard deviations at 1 or more; 25.
        covariance: weight of the squared covariances; 1.
        gather: variances and covariances over all processes (DDP), as in the authors' code.
    """

    def __init__(
        self,
        width: int,
        *,
        projection: ranges.Width = 512,
        hidden: ranges.WidthOrAuto = 0,
        invariance: ranges.Amount = 25.0,
        variance: ranges.Amount = 25.0,
        covariance: ranges.Amount = 1.0,
        gather: bool = False,
    ) -> None:
        super().__init__()
        self.projector = VICRegProjectionHead(width, hidden or projection, projection)
        self.invariance, self.variance, self.covariance = invariance, variance, covariance
        self.gather = gather

    def forward(
        self,
        features: Features,
        targets: Features | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        group: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The loss of views [(B, D)] * V."""
        projected = [self.projector(view) for view in as_views(features)]
        terms = [
            vicreg(
                first,
                second,
                invariance=self.invariance,
                variance=self.variance,
                covariance=self.covariance,
                gather=self.gather,
            )
            for first, second in combinations(projected, 2)
        ]
        return {"loss": torch.stack(terms).mean()}
