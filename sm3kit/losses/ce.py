"""The cross-entropy."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from sm3kit.losses.base import LabelLoss
from sm3kit.nn.label_heads import mean_of_known


class CrossEntropy(LabelLoss):
    """Every study counts alike.

    Source: Wang et al. 2025, equation 6; released code, `CrossEntropyLoss` for each label.
    As in the paper.
    """

    def forward(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """The mean cross-entropy of the studies whose class is known."""
        total = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
        return mean_of_known(total, labels)
