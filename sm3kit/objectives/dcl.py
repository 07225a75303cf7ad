"""Decoupled contrastive learning within one modality."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Annotated, Literal

import torch
from lightly.models.modules.heads import SimCLRProjectionHead, SimSiamProjectionHead
from torch import Tensor

from sm3kit.core import ranges
from sm3kit.nn.pairs.contrastive import in_shards, pairwise_dcl
from sm3kit.nn.precision import full_precision
from sm3kit.objectives.base import Features, Objective, as_views


class DCL(Objective):
    """Contrasts as simclr does, with the positive left out of the denominator.

    Gradients then do not fade where the partner is found easily among few negatives, which makes
    it suited to small batches.

    Source: Yeh et al. 2022, arXiv:2110.06848, equations 6 and 7, and section 3.2 on weights.
    Differs from the paper: the default head is that of `simclr` here, so that the two differ in
    the loss alone; the paper's is `head="simclr"`. With more than two views, the mean over all
    pairs of views.

    Args:
        width: D of the features.
        temperature: t; 0.1, the paper's for ImageNet.
        sigma: weighs each positive by how like its views are, which is the paper's DCLW with 0.5;
            0 weighs all alike.
        projection: P; 128.
        hidden: width of the hidden layers; 0 means D.
        head: "sm3" is the projector of SM3 (three layers, last batch norm without affine),
            "simclr" the two-layer head of SimCLR.
        gather: use negatives from all processes (DDP).
        shards: splits the batch into parts, each with its own negatives, as several GPUs without
            gathering do.
        mask_groups: images of the same patient or lesion are not used as negatives of each other. An
            image without any negative in its batch does not count.
    """

    def __init__(
        self,
        width: int,
        *,
        temperature: ranges.Temperature = 0.1,
        sigma: Annotated[float, ranges.Range(1e-6, 1000, also=(0,))] = 0.0,
        projection: ranges.Width = 128,
        hidden: ranges.WidthOrAuto = 0,
        head: Literal["sm3", "simclr"] = "sm3",
        gather: bool = False,
        shards: ranges.Count = 1,
        mask_groups: bool = True,
    ) -> None:
        super().__init__()
        heads = {"sm3": SimSiamProjectionHead, "simclr": SimCLRProjectionHead}
        self.head = heads[head](width, hidden or width, projection)
        self.temperature, self.sigma, self.gather = temperature, sigma, gather
        self.shards, self.mask_groups = shards, mask_groups

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
        group = group if self.mask_groups else None
        projected = full_precision(self.head(torch.cat(views))).chunk(len(views))
        terms = [
            pairwise_dcl(
                first[rows],
                second[rows],
                self.temperature,
                sigma=self.sigma,
                group=None if group is None else group[rows],
                gather=self.gather,
            )
            for first, second in combinations(projected, 2)
            for rows in in_shards(len(first), self.shards)
        ]
        return {"loss": torch.stack(terms).mean()}
