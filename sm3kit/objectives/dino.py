"""DINO within one modality."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from typing import ClassVar

import torch
from lightly.loss import DINOLoss
from lightly.models.modules.heads import DINOProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import Tensor, nn
from torch.nn.utils import parametrizations, remove_weight_norm

from sm3kit.core import ranges
from sm3kit.nn.precision import full_precision
from sm3kit.objectives.base import Features, Objective, as_views


class DINO(Objective):
    """Predicts what an EMA encoder says of one view from all other views; no negatives.

    The EMA encoder sees the global views, the encoder the local ones, too. Both sort each view into
    `prototypes` kinds, which nobody names. That the EMA encoder is sharpened by its low temperature
    and centred keeps them from agreeing on one kind, or on none.

    Source: Caron et al. 2021, arXiv:2104.14294, equations 1, 3 and 4, and appendix A.
    Differs from the paper: 1024 prototypes instead of 65536, and a momentum that starts at 0.99
    instead of 0.996, because a few hundred images give only a few thousand steps. The weight decay
    stays as it is instead of growing. Settings in epochs are shares of the training.

    Args:
        width: D of the features.
        prototypes: K, the width of the output.
        hidden: width of the two hidden layers of the head; 2048.
        bottleneck: width of the layer before the last, whose rows are of unit length; 256.
        batch_norm: batch norm in the head; the paper has it for neither ViTs nor ResNets.
        momentum: the EMA momentum at the start; a cosine brings it to 1.
        temperature: of the encoder; 0.1.
        teacher_temperature: of the EMA encoder, after the warm-up; 0.04, for large ViTs 0.07.
        warmup_temperature: of the EMA encoder, at the start; 0.04.
        warmup: share of the training in which the one becomes the other, in a line.
        center_momentum: how much of the centre stays at each step; 0.9.
        freeze: share of the training, from its start, in which the last layer is frozen.
        gather: the centre is the mean over all processes (DDP).
    """

    wants_target: ClassVar[bool] = True
    wants_local: ClassVar[bool] = True

    def __init__(
        self,
        width: int,
        *,
        prototypes: ranges.Width = 1024,
        hidden: ranges.Width = 2048,
        bottleneck: ranges.Width = 256,
        batch_norm: bool = False,
        momentum: ranges.Share = 0.99,
        temperature: ranges.Temperature = 0.1,
        teacher_temperature: ranges.Temperature = 0.04,
        warmup_temperature: ranges.Temperature = 0.04,
        warmup: ranges.Share = 0.3,
        center_momentum: ranges.Share = 0.9,
        freeze: ranges.Share = 0.01,
        gather: bool = False,
    ) -> None:
        super().__init__()
        self.head = _head(width, hidden, bottleneck, prototypes, batch_norm)
        self.target_head = copy.deepcopy(self.head)
        deactivate_requires_grad(self.target_head)
        self.match = CentredLoss(prototypes, temperature, center_momentum, gather)
        self.temperatures, self.warmup = (warmup_temperature, teacher_temperature), warmup
        self.momentum, self.freeze, self.progress = momentum, freeze, 0.0

    @property
    def teacher_temperature(self) -> float:
        """The temperature of the EMA encoder at this point of the training."""
        start, end = self.temperatures
        done = min(self.progress / self.warmup, 1.0) if self.warmup else 1.0
        return start + (end - start) * done

    def before_step(self, progress: float) -> None:
        """Holds the last layer still at the beginning."""
        self.progress = progress
        weight = self.head.last_layer.parametrizations.weight.original1
        weight.requires_grad_(progress >= self.freeze)

    def forward(
        self,
        features: Features,
        targets: Features | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        group: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The loss of views [(B, D)] * V, of which the first ones have targets."""
        views = as_views(features)
        assert not isinstance(targets, Mapping)
        slow = views if targets is None else targets
        said = [full_precision(self.head(view)) for view in views]
        with torch.no_grad():
            wanted = [full_precision(self.target_head(view)) for view in slow]
        return {"loss": self.match(wanted, said, self.teacher_temperature)}

    def update_target(self, encoder: nn.Module, target: nn.Module, progress: float) -> None:
        """Moves the EMA encoder and head; parameters only, as in the official code."""
        now = 1 - (1 - self.momentum) * (1 + math.cos(math.pi * progress)) / 2
        update_momentum(encoder, target, now)
        update_momentum(self.head, self.target_head, now)


class CentredLoss(DINOLoss):  # type: ignore[misc]  # lightly is not typed.
    """lightly's loss, with a centre that moves in training alone.

    Args:
        width: K of the output.
        temperature: of the encoder.
        momentum: how much of the centre stays at each step.
        gather: the centre is the mean over all processes, not of each alone.
    """

    def __init__(self, width: int, temperature: float, momentum: float, gather: bool) -> None:
        super().__init__(width, student_temp=temperature, center_momentum=momentum)
        self.gather = gather

    @torch.no_grad()
    def update_center(self, teacher_out: Tensor) -> None:
        """Moves the centre towards the mean of outputs (V, B, K)."""
        if not self.training:
            return
        if self.gather:
            super().update_center(teacher_out)
        else:
            self.center.lerp_(teacher_out.mean(dim=(0, 1)), 1 - self.center_momentum)


def _head(
    width: int, hidden: int, bottleneck: int, prototypes: int, batch_norm: bool
) -> DINOProjectionHead:
    """lightly's head; its weight norm in the form of torch that can be copied."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Of the old form.
        head = DINOProjectionHead(width, hidden, bottleneck, prototypes, batch_norm)
    remove_weight_norm(head.last_layer)
    parametrizations.weight_norm(head.last_layer)
    length = head.last_layer.parametrizations.weight.original0
    length.data.fill_(1)
    length.requires_grad_(False)
    return head
