"""The cross-entropy in which studies that are told well count little."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.core.ranges import Amount
from sm3kit.losses.base import LabelLoss
from sm3kit.nn.label_heads import mean_of_known


class Focal(LabelLoss):
    """The cross-entropy times (1 - p)^gamma, where p is the probability of the right class.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, equation 4,
    https://arxiv.org/abs/1708.02002.
    Differs from the paper: the classes exclude each other, so p is that of a softmax, not of a
    sigmoid; there is no weight alpha of the classes; the sum is divided by the number of studies.

    Args:
        gamma: how much less the studies that are told well count; 0 is the cross-entropy.
    """

    def __init__(self, *, gamma: Amount = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """The mean over the studies whose class is known."""
        cost = F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")
        # 1 - p without the rounding near 0; at 0 itself a power below 1 would have no gradient.
        missing = -torch.expm1(-cost)
        tiny = torch.finfo(cost.dtype).tiny
        return mean_of_known(missing.clamp(min=tiny) ** self.gamma * cost, labels)
