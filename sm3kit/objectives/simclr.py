"""SimCLR within one modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import torch
from lightly.models.modules.heads import SimCLRProjectionHead, SimSiamProjectionHead
from torch import Tensor

from sm3kit.core import ranges
from sm3kit.nn.host.values import Values, host_values
from sm3kit.nn.pairs.contrastive import in_shards, pairwise_ntx
from sm3kit.nn.pairs.ntx import ntx
from sm3kit.nn.precision import full_precision
from sm3kit.objectives.base import Features, Objective, as_views


class SimCLR(Objective):
    """Contrasts the views of each image with all other images of the batch.

    Source: Chen et al. 2020, arXiv:2002.05709, equation 1; Wang et al. 2025, equations 1 to 3.
    Differs from the paper: as in the released code, every view is an anchor, while equation 1 of
    SM3 prints view 1 only, which is `anchors="first"`. With more than two views, the mean over
    all pairs of views that have an anchor.

    Args:
        width: D of the features.
        temperature: t; the paper's 0.1.
        projection: P; the paper's 128.
        hidden: width of the hidden layers; 0 means D, as in the release.
        anchors: which views are anchors: "all", or only the "first" of each image.
        head: "sm3" is the released projector (three layers, last batch norm without affine),
            "simclr" the two-layer head of SimCLR.
        gather: use negatives from all processes (DDP); the release does not.
        shards: splits the batch into parts, each with its own negatives, as several GPUs without
            gathering do; the release ran on 2.
        mask_groups: images of the same patient or lesion are not used as negatives of each other. If
            all studies of a batch are of different groups, the loss is that of the paper.
    """

    def __init__(
        self,
        width: int,
        *,
        temperature: ranges.Temperature = 0.1,
        projection: ranges.Width = 128,
        hidden: ranges.WidthOrAuto = 0,
        anchors: Literal["all", "first"] = "all",
        head: Literal["sm3", "simclr"] = "sm3",
        gather: bool = False,
        shards: ranges.Count = 1,
        mask_groups: bool = True,
    ) -> None:
        super().__init__()
        heads = {"sm3": SimSiamProjectionHead, "simclr": SimCLRProjectionHead}
        self.head = heads[head](width, hidden or width, projection)
        self.temperature, self.gather, self.anchors = temperature, gather, anchors
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
        projected = full_precision(self.head(torch.cat(views))).chunk(len(views))
        terms = [
            self._contrast(first[rows], second[rows], self._together(group, rows))
            for first, second in self._pairs(projected)
            for rows in in_shards(len(first), self.shards)
        ]
        return {"loss": torch.stack(terms).mean()}

    def _pairs(self, views: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        if self.anchors == "first":
            return [(views[0], view) for view in views[1:]]
        return list(combinations(views, 2))

    def _together(self, group: Tensor | None, rows: slice) -> Tensor | None:
        """The groups of some rows; None where no two of these rows belong together."""
        if group is None or not self.mask_groups:
            return None
        # With gathered negatives all processes must take the same way, whatever groups they hold.
        some = self.gather or _repeats(host_values(group)[rows])
        return group[rows] if some else None

    def _contrast(self, first: Tensor, second: Tensor, group: Tensor | None) -> Tensor:
        if self.anchors == "all" and group is None:
            return ntx(first, second, self.temperature, gather=self.gather)
        return pairwise_ntx(
            first,
            second,
            self.temperature,
            group=group,
            symmetric=self.anchors == "all",
            gather=self.gather,
        )


def _repeats(codes: Values) -> bool:
    return len(np.unique(codes)) < len(codes)
