"""SwAV within one modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from lightly.loss import SwaVLoss
from lightly.models.modules.heads import SwaVProjectionHead, SwaVPrototypes
from torch import Tensor
from torch.nn import functional as F

from sm3kit.core import ranges
from sm3kit.nn.host.values import host_values, remember
from sm3kit.nn.precision import full_precision
from sm3kit.objectives.base import Features, Objective, as_views


class SwAV(Objective):
    """Predicts the balanced prototype assignment of one view from the other views.

    The first two views are assigned, and all views predict, local ones included: multi-crop. The
    mean is over the other views of each, as in the official code, so local views change no scale.

    Source: Caron et al. 2020, arXiv:2006.09882, equations 1 to 6.
    Differs from the paper: 60 prototypes instead of 3000, which would exceed the images of a
    small study. Batch norm treats each view as a separate batch; with `join_views`, and
    `stage1.join_views` for the backbones, as in the official code. Local views are there if the
    modality makes some (`photo.local_views`); the paper has 6. The queue holds 96 rows instead of
    3840; a batch with fewer rows than prototypes uses it from the start.

    Args:
        width: D of the features.
        projection: P; 128.
        hidden: width of the hidden layer; 0 means D, which is the paper's 2048 for ResNet-50.
        prototypes: number of prototypes; keep it below the batch size plus the queue.
        temperature: t of the prediction; 0.1.
        epsilon: entropy weight of the Sinkhorn assignment; 0.05. Below 0.012, exp(1/epsilon)
            overflows float32.
        iterations: Sinkhorn iterations; 3.
        queue: number of earlier rows per view that are added to the assignment, for small batches;
            0 turns it off.
        queue_start: share of the training after which the queue is used in every assignment.
        freeze: share of the training, from its start, in which the prototypes are frozen.
        gather: balance the assignment over all processes (DDP).
        join_views: the batch norm of the head sees all views of all sizes as one batch.
    """

    wants_local: ClassVar[bool] = True

    queued: Tensor
    filled: Tensor

    def __init__(
        self,
        width: int,
        *,
        projection: ranges.Width = 128,
        hidden: ranges.WidthOrAuto = 0,
        prototypes: ranges.Width = 60,
        temperature: ranges.Temperature = 0.1,
        epsilon: Annotated[float, ranges.Range(0.012, 1000)] = 0.05,
        iterations: ranges.Iterations = 3,
        queue: ranges.CountOrZero = 96,
        queue_start: ranges.Share = 0.1,
        freeze: ranges.Share = 0.01,
        gather: bool = False,
        join_views: bool = False,
    ) -> None:
        super().__init__()
        self.projector = SwaVProjectionHead(width, hidden or width, projection)
        self.prototypes = SwaVPrototypes(projection, prototypes)
        for head in self.prototypes.heads:
            head.bias = None  # The method has none.
        self.swap = SwaVLoss(temperature, iterations, epsilon, gather)
        self.join_views = join_views
        self.queue_start, self.freeze, self.progress = queue_start, freeze, 0.0
        # Plain buffers: a resumed training finds its queue again.
        self.register_buffer("queued", torch.zeros(2, queue, projection))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    def before_step(self, progress: float) -> None:
        """Brings the prototypes back to unit length, and holds them still at the beginning."""
        self.progress = progress
        self.prototypes.normalize()
        self.prototypes.requires_grad_(progress >= self.freeze)

    def forward(
        self,
        features: Features,
        targets: Features | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        group: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The loss of views [(B, D)] * V; the first two views are assigned, all predict."""
        views = as_views(features)
        projected = [F.normalize(full_precision(rows), dim=1) for rows in self._project(views)]
        scores = [self.prototypes(view) for view in projected]
        earlier = self._earlier(len(views[0]))
        loss = self.swap(scores[:2], scores[2:], earlier).squeeze(0)
        if self.training:
            self._remember(projected[0].detach(), projected[1].detach())
        return {"loss": loss}

    def _project(self, views: Sequence[Tensor]) -> Sequence[Tensor]:
        """Projections (B, P) of views, which the batch norm sees one by one, or as one batch."""
        if self.join_views:
            joined: Tensor = self.projector(torch.cat(list(views)))
            return joined.chunk(len(views))
        return [self.projector(view) for view in views]

    def _earlier(self, rows: int) -> list[Tensor] | None:
        """Scores of the queue, if it joins the assignment of a batch with so many rows."""
        too_few = rows < self.prototypes.n_prototypes[0]
        if not self._rows_kept() or not (too_few or self.progress >= self.queue_start):
            return None
        with torch.no_grad():
            return [self.prototypes(view[: self._rows_kept()]) for view in self.queued]

    @torch.no_grad()
    def _remember(self, first: Tensor, second: Tensor) -> None:
        size = self.queued.shape[1]
        if size:
            newest = torch.stack([first, second])
            kept = self.queued[:, : self._rows_kept()]
            rows = torch.cat([newest, kept], dim=1)[:, :size]
            self.queued[:, : rows.shape[1]] = rows
            remember(self.filled.fill_(rows.shape[1]), np.array(rows.shape[1]))

    def _rows_kept(self) -> int:
        """How many rows of the queue are filled."""
        return int(host_values(self.filled))
