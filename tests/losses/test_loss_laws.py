"""Losses that break a law each, and are found out."""

import pytest
import torch
from torch.nn import functional as F

from sm3kit.core.errors import ContractError
from sm3kit.losses.ce import CrossEntropy
from sm3kit.losses.class_balanced import ClassBalanced
from sm3kit.testing import check_loss


class Counted(CrossEntropy):
    """Its mean is over all studies, known or not."""

    def forward(self, logits, labels, counts):
        return super().forward(logits, labels, counts) * (labels >= 0).sum() / max(len(labels), 1)


class Drawn(CrossEntropy):
    """Its value counts known studies alone, its gradient does not."""

    def forward(self, logits, labels, counts):
        unknown = logits[labels < 0].sum() * (labels >= 0).any()
        return super().forward(logits, labels, counts) + unknown - unknown.detach()


class NaN(CrossEntropy):
    """Nothing known gives 0 / 0."""

    def forward(self, logits, labels, counts):
        return F.cross_entropy(logits, labels, ignore_index=-1)


class Detached(CrossEntropy):
    """Nothing known gives a number without a gradient."""

    def forward(self, logits, labels, counts):
        if (labels < 0).all():
            return torch.zeros(())
        return super().forward(logits, labels, counts)


class Sum(CrossEntropy):
    """A sum."""

    def forward(self, logits, labels, counts):
        return F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")


class Vector(CrossEntropy):
    """One number per study."""

    def forward(self, logits, labels, counts):
        return F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")


class Precise(CrossEntropy):
    """In float64."""

    def forward(self, logits, labels, counts):
        return super().forward(logits.double(), labels, counts)


class Infinite(CrossEntropy):
    """Weighs by one over the number of studies."""

    def forward(self, logits, labels, counts):
        return (
            F.cross_entropy(logits, labels, 1 / counts, ignore_index=-1)
            if (labels >= 0).any()
            else 0 * logits.sum()
        )


class Backwards(CrossEntropy):
    """Likes what is wrong."""

    def forward(self, logits, labels, counts):
        return super().forward(-logits, labels, counts)


class Learning(CrossEntropy):
    """Has a temperature that would have to be learned."""

    def __init__(self):
        super().__init__()
        self.temperature = torch.nn.Parameter(torch.ones(()))


class Scaling(CrossEntropy):
    """Changes the logits in place."""

    def forward(self, logits, labels, counts):
        with torch.no_grad():
            logits.mul_(2)
        return super().forward(logits, labels, counts)


class Ordered(CrossEntropy):
    """The first studies count more."""

    def forward(self, logits, labels, counts):
        costs = F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")
        weights = 1 / torch.arange(1.0, len(logits) + 1) * (labels >= 0)
        return (weights * costs).sum() / weights.sum().clamp(min=1e-6)


class Random(CrossEntropy):
    """Smooths labels at random."""

    def forward(self, logits, labels, counts):
        return super().forward(logits, labels, counts) * (1 + 1e-8 * torch.rand(()))


class Logarithm(CrossEntropy):
    """Takes the logarithm of a probability that rounds to zero."""

    def forward(self, logits, labels, counts):
        known = labels >= 0
        right = logits.softmax(1).gather(1, labels.clamp(min=0).unsqueeze(1))[:, 0]
        return -(right[known].log()).sum() / known.sum().clamp(min=1)


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (Counted, "counts studies of unknown class"),
        (Drawn, "gives studies of unknown class a gradient"),
        (NaN, "gives nan where no class is known, not 0"),
        (Detached, "gives nothing to learn from"),
        (Sum, "grows with the number of studies"),
        (Vector, r"gives \(10,\), not a scalar"),
        (Precise, "gives torch.float64, not float32"),
        (Infinite, "gives a value that is not finite for a study of a class without others"),
        (Backwards, "costs more for the right classes than for wrong ones"),
        (Learning, "has a weight 'temperature' that nobody trains"),
        (Scaling, "changes its input in place"),
        (Ordered, "depends on the order of the rows in a batch"),
        (Random, "draws from torch's random state"),
        (Logarithm, "gives a value that is not finite for large logits"),
    ],
)
def test_a_broken_loss_is_found_out(plugin, said):
    with pytest.raises(ContractError, match=f"{plugin.__name__} {said}"):
        check_loss(plugin)


def test_options_are_tried():
    check_loss(ClassBalanced, beta=0.0)
    check_loss(ClassBalanced, beta=0.999999)
