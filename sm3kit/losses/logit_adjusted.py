"""The cross-entropy of logits to which the log frequency of each class is added."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from sm3kit.core.ranges import Amount
from sm3kit.losses.base import LabelLoss
from sm3kit.nn.label_heads import mean_of_known


class LogitAdjusted(LabelLoss):
    """The logits learn what the class frequencies do not tell; also known as balanced softmax.

    In training tau * log(frequency) is added to the logit of each class. A decision takes the
    logits as they are, and so treats all classes as equally frequent.

    Source: Menon et al. 2021, Long-tail learning via logit adjustment, equation 10,
    https://arxiv.org/abs/2007.07314; for tau 1, Ren et al. 2020, Balanced Meta-Softmax, section 3.1,
    https://arxiv.org/abs/2007.10740.
    As in the papers; a class without a training study, which they do not treat, counts as if it had
    one: with a frequency of zero, nothing would hold its logit down.

    Args:
        tau: strength; 0 is the cross-entropy.
    """

    def __init__(self, *, tau: Amount = 1.0) -> None:
        super().__init__()
        self.tau = tau

    def forward(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """The mean cross-entropy of the adjusted logits."""
        frequency = counts.clamp(min=1).double() / counts.sum().clamp(min=1)
        adjusted = logits + (self.tau * frequency.log()).to(logits)
        total = F.cross_entropy(adjusted, labels, ignore_index=-1, reduction="sum")
        return mean_of_known(total, labels)
