"""The cross-entropy weighted by the effective number of studies of each class."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.core.ranges import ShareBelowOne
from sm3kit.losses.base import LabelLoss
from sm3kit.nn.label_heads import mean_of_known


class ClassBalanced(LabelLoss):
    """Rare classes weigh more, by the inverse of their effective number of studies.

    A class with n studies has the effective number (1 - beta^n) / (1 - beta): each further study
    tells less than the one before. The weights of all classes that have studies average 1.

    Source: Cui et al. 2019, Class-Balanced Loss Based on Effective Number of Samples, sections 3.2
    and 4.1, https://arxiv.org/abs/1901.05555.
    As in the paper; a class without a training study, which it does not treat, weighs nothing.

    Args:
        beta: 0 weighs all classes alike; near 1 they weigh by the inverse of their frequency.
    """

    def __init__(self, *, beta: ShareBelowOne = 0.999) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """The mean over the studies, not over the weights, of the weighted cross-entropy."""
        weights = self.weigh(counts).to(logits)
        total = F.cross_entropy(logits, labels, weights, ignore_index=-1, reduction="sum")
        return mean_of_known(total, labels)

    def weigh(self, counts: Tensor) -> Tensor:
        """The weight (C,) of each class, in float64, of its number of training studies (C,)."""
        some = counts > 0
        number = counts.clamp(min=1).double()
        if self.beta:  # 1 - beta^n without the rounding where it is small.
            number = -torch.expm1(number * math.log(self.beta)) / (1 - self.beta)
        else:
            number = torch.ones_like(number)
        weights = some / number
        return weights * some.sum().clamp(min=1) / weights.sum().clamp(min=1e-300)
