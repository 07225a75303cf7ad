"""SimCLR within one modality."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Literal

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead, SimSiamProjectionHead
from torch import Tensor

from sm3kit.nn.contrastive import in_shards
from sm3kit.objectives.base import Features, Objective, as_views


class SimCLR(Objective):
    """Contrasts the views of each image with all other images of the batch.

    Source: Chen et al. 2020, arXiv:2002.05709, equation 1; Wang et al. 2025, equations 1 to 3.
    Differs from the paper: as the released code, every view is an anchor, while equation 1 of
    SM3 prints view 1 only. With more than two views, the mean over all pairs of views.

    Args:
        width: D of the features.
        temperature: t; the paper's 0.1.
        projection: P; the paper's 128.
        hidden: width of the hidden layers; 0 takes D, as the release does.
        head: "sm3" is the released projector (three layers, last batch norm without affine),
            "simclr" the two-layer head of SimCLR.
        gather: negatives from all processes (DDP). The release does not gather.
        shards: cuts the batch into parts that only compare within themselves, as several GPUs
            without gathered negatives do; the release ran on 2.
    """

    def __init__(
        self,
        width: int,
        *,
        temperature: float = 0.1,
        projection: int = 128,
        hidden: int = 0,
        head: Literal["sm3", "simclr"] = "sm3",
        gather: bool = False,
        shards: int = 1,
    ) -> None:
        super().__init__()
        heads = {"sm3": SimSiamProjectionHead, "simclr": SimCLRProjectionHead}
        self.head = heads[head](width, hidden or width, projection)
        self.contrast = NTXentLoss(temperature, gather_distributed=gather)
        self.shards = shards

    def forward(
        self,
        features: Features,
        targets: Features | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        group: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The loss of views [(B, D)] * V; the head sees all views as one batch of V * B rows."""
        views = as_views(features)
        projected = self.head(torch.cat(views)).float().chunk(len(views))
        terms = [
            self.contrast(first[rows], second[rows])
            for first, second in combinations(projected, 2)
            for rows in in_shards(len(first), self.shards)
        ]
        return {"loss": torch.stack(terms).mean()}
