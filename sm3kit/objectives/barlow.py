"""Barlow Twins within one modality."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from lightly.models.modules.heads import BarlowTwinsProjectionHead
from torch import Tensor

from sm3kit.core import ranges
from sm3kit.nn.pairs.decorrelation import barlow_twins
from sm3kit.objectives.base import Features, Objective, as_views


class BarlowTwins(Objective):
    """Makes each dimension equal in two views, and different dimensions uncorrelated.

    It has no negatives, so images of the same patient or lesion need no mask.

    Source: Zbontar et al. 2021, arXiv:2103.03230, equations 1 and 2.
    Differs from the paper: P is 512 instead of 8192: a batch of tens or a few hundred images
    cannot fill more dimensions, and the projector would have a hundred times more weights than a
    small backbone. With more than two views, the mean over all pairs of views. Batch norm treats
    each view as a separate batch, as in the authors' code.

    Args:
        width: D of the features.
        projection: P; the paper's is 8192.
        hidden: width of the hidden layers; 0 means P, as in the paper.
        redundancy: lambda, the weight of the correlations of different dimensions; 0.005.
        gather: correlations over all processes (DDP), as in the authors' code.
    """

    def __init__(
        self,
        width: int,
        *,
        projection: ranges.Width = 512,
        hidden: ranges.WidthOrAuto = 0,
        redundancy: ranges.Amount = 5e-3,
        gather: bool = False,
    ) -> None:
        super().__init__()
        self.projector = BarlowTwinsProjectionHead(width, hidden or projection, projection)
        self.redundancy, self.gather = redundancy, gather

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
            barlow_twins(first, second, redundancy=self.redundancy, gather=self.gather)
            for first, second in combinations(projected, 2)
        ]
        return {"loss": torch.stack(terms).mean()}
