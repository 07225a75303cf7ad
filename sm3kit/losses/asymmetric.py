"""Each class against all others, with less weight on what a study is not."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.core.ranges import Amount, ShareBelowOne
from sm3kit.losses.base import LabelLoss
from sm3kit.nn.label_heads import mean_of_known


class Asymmetric(LabelLoss):
    """A focal loss of each class against the rest, with a focus of its own for the rest.

    Source: Ridnik et al. 2021, Asymmetric Loss For Multi-Label Classification, section 2,
    equation 7, https://arxiv.org/abs/2009.14119.
    Differs from the paper: the classes of a label exclude each other. Each is still told from the
    rest by the sigmoid of its own logit in training. A decision takes the softmax of the same
    logits, that is the odds of each class, divided by their sum: the most probable class is the
    same, but the probabilities are not calibrated. The paper sums over a batch; this is the mean
    over its studies of the sum over the classes.

    Args:
        gamma_neg: how much less classes count that a study is rightly said not to be of.
        gamma_pos: how much less classes count that a study is rightly said to be of.
        clip: a class that is less probable than this costs nothing where it is wrong.
    """

    def __init__(
        self, *, gamma_neg: Amount = 4.0, gamma_pos: Amount = 1.0, clip: ShareBelowOne = 0.05
    ) -> None:
        super().__init__()
        self.gamma_neg, self.gamma_pos, self.clip = gamma_neg, gamma_pos, clip

    def forward(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """The mean over the studies whose class is known, of the sum over the classes."""
        # At 0 itself a power below 1 would have no gradient.
        tiny = torch.finfo(logits.dtype).tiny
        right = torch.sigmoid(-logits).clamp(min=tiny) ** self.gamma_pos * F.logsigmoid(logits)
        shifted = (torch.sigmoid(logits) - self.clip).clamp(min=tiny)
        wrong = shifted**self.gamma_neg * self._log_of_rest(logits)
        own = labels.unsqueeze(1) == torch.arange(logits.shape[1], device=labels.device)
        known = (labels >= 0).unsqueeze(1)
        return mean_of_known(-torch.where(own, right, wrong) * known, labels)

    def _log_of_rest(self, logits: Tensor) -> Tensor:
        """The log (B, C) of 1 - max(p - clip, 0)."""
        rest = F.logsigmoid(-logits)
        if self.clip:
            rest = torch.logaddexp(rest, torch.full_like(rest, math.log(self.clip)))
        return rest.clamp(max=0)
