"""The contract of label losses."""

from __future__ import annotations

from torch import Tensor, nn


class LabelLoss(nn.Module):
    """What the logits of one label cost.

    Built as `LabelLoss(**options)`. It is called once for each label, outside autocast with float32
    tensors.
    """

    def __init__(self) -> None:
        super().__init__()  # No options; those of a torch module would be any.

    def forward(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """The mean loss of the studies whose class is known; zero, with a gradient, without any.

        Args:
            logits: (B, C).
            labels: (B,) int64, the class of each study, -1 where unknown, which does not count.
            counts: (C,) int64, studies of each class among those that are learned from: the
                training split, or the subset of a member of an ensemble.

        Returns:
            A scalar.
        """
        raise NotImplementedError
