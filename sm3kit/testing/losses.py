"""The laws of label losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sm3kit.losses.base import LabelLoss
from sm3kit.testing import tensors
from sm3kit.testing.every_plugin import check_documented
from sm3kit.testing.law import Laws, Plugin, require
from sm3kit.testing.tensors import TOLERANCE

CLASSES = (2, 3, 4, 5)
ROWS = 10


@dataclass(frozen=True)
class Labelled:
    """What a loss is called with.

    Attributes:
        logits: (B, C), asking for a gradient.
        labels: (B,), -1 where unknown.
        counts: (C,).
    """

    logits: Tensor
    labels: Tensor
    counts: Tensor

    def rows(self, which: Tensor) -> Labelled:
        """Some of the studies, or all in another order."""
        logits = self.logits.detach()[which].requires_grad_()
        return Labelled(logits, self.labels[which], self.counts)

    @property
    def known(self) -> Tensor:
        """(B,) whether the class is known."""
        return self.labels >= 0


@dataclass(frozen=True)
class LossTrial:
    """A loss class and the options to build it with."""

    plugin: Plugin
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> LabelLoss:
        """The loss."""
        loss: LabelLoss = self.plugin(**self.options)
        return loss

    def value(self, labelled: Labelled) -> Tensor:
        """The loss of some studies."""
        value: Tensor = self.build()(labelled.logits, labelled.labels, labelled.counts)
        require(value.shape == (), f"gives {tuple(value.shape)}, not a scalar")
        return value

    def value_and_slope(self, labelled: Labelled) -> tuple[Tensor, Tensor]:
        """The loss of some studies, and its gradient (B, C)."""
        value = self.value(labelled)
        require(value.requires_grad, "gives nothing to learn from")
        (slope,) = torch.autograd.grad(value, labelled.logits)
        return value.detach(), slope


LAWS: Laws[LossTrial] = Laws()


def studies(classes: int = 3, scale: float = 1.0, without: int | None = None) -> Labelled:
    """Ten studies of which two are unknown; of one class there may be none.

    Args:
        classes: C.
        scale: of the logits.
        without: the class without studies.
    """
    labels = torch.arange(ROWS) % classes
    if without is not None:
        labels[labels == without] = (without + 1) % classes
    labels[[3, 8]] = -1
    counts = torch.tensor([0 if cls == without else 3 + 40 * cls for cls in range(classes)])
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(ROWS, classes, generator=generator)
    return Labelled(logits.requires_grad_(), labels, counts)


def check_loss(plugin: Plugin, **options: Any) -> None:
    """Gives a finite scalar that unknown labels do not count in, whatever classes are rare.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    LAWS.enforce(LossTrial(plugin, options), plugin)


@LAWS.law("builds", first=True)
def builds(trial: LossTrial) -> None:
    """It can be built, and has no weights: nobody would train them."""
    weights = [name for name, weight in trial.build().named_parameters() if weight.requires_grad]
    require(not weights, f"has a weight {weights[0] if weights else ''!r} that nobody trains")


@LAWS.law("scalar")
def gives_a_scalar(trial: LossTrial) -> None:
    """Two classes or more give one finite float32 number, and a gradient for every study."""
    for classes in CLASSES:
        labelled = studies(classes)
        value, slope = trial.value_and_slope(labelled)
        require(value.dtype == torch.float32, f"gives {value.dtype}, not float32")
        _require_finite(value, slope, f"for {classes} classes")
        learns = (slope != 0).any(dim=1)[labelled.known]
        require(bool(learns.all()), "gives a study with a known class no gradient")


@LAWS.law("input")
def input_stays(trial: LossTrial) -> None:
    """Logits, labels and counts stay as they were."""
    labelled = studies()
    given = [labelled.logits, labelled.labels, labelled.counts]
    tensors.leaves_alone(lambda values: trial.build()(*values), given)


@LAWS.law("batch order")
def any_order(trial: LossTrial) -> None:
    """The order of the studies does not matter."""
    labelled, order = studies(), tensors.order_of_rows(ROWS)
    value, slope = trial.value_and_slope(labelled)
    again, slope_again = trial.value_and_slope(labelled.rows(order))
    require(_near(value, again) and _near(slope[order], slope_again), tensors.ORDER)


@LAWS.law("nothing known")
def nothing_known(trial: LossTrial) -> None:
    """Without a known class it is zero, with a gradient of zero."""
    for rows in (ROWS, 0):
        labelled = studies().rows(torch.arange(rows))
        unknown = Labelled(labelled.logits, torch.full((rows,), -1), labelled.counts)
        value, slope = trial.value_and_slope(unknown)
        require(float(value) == 0, f"gives {float(value):g} where no class is known, not 0")
        require(not bool(slope.any()), "gives a gradient where no class is known")


@LAWS.law("unknown classes")
def unknown_never_counts(trial: LossTrial) -> None:
    """A study whose class is unknown changes neither the value nor the gradient of others."""
    labelled = studies()
    value, slope = trial.value_and_slope(labelled)
    require(not bool(slope[~labelled.known].any()), "gives studies of unknown class a gradient")
    logits = labelled.logits.detach().masked_fill(~labelled.known.unsqueeze(1), 50.0)
    other = Labelled(logits.requires_grad_(), labelled.labels, labelled.counts)
    for changed in (labelled.rows(labelled.known), other):
        again, slope_again = trial.value_and_slope(changed)
        require(_near(value, again), "counts studies of unknown class")
        same = _near(slope[labelled.known], slope_again[changed.known])
        require(same, "counts studies of unknown class in its gradient")


@LAWS.law("mean")
def mean_over_studies(trial: LossTrial) -> None:
    """It is a mean: the same studies twice over give the same."""
    labelled = studies()
    twice = labelled.rows(torch.arange(ROWS).repeat(2))
    require(_near(trial.value(labelled), trial.value(twice)), "grows with the number of studies")


@LAWS.law("direction")
def right_costs_less(trial: LossTrial) -> None:
    """The right classes cost less than wrong ones."""
    for classes in CLASSES:
        labelled = studies(classes)
        right = 4.0 * torch.eye(classes)[labelled.labels.clamp(min=0)]
        values = [
            float(trial.value(Labelled(logits, labelled.labels, labelled.counts)).detach())
            for logits in (right.requires_grad_(), right.detach().roll(1, 1).requires_grad_())
        ]
        require(values[0] < values[1], "costs more for the right classes than for wrong ones")


@LAWS.law("empty class")
def empty_class(trial: LossTrial) -> None:
    """Classes without a training study give nothing that is not finite."""
    for classes in CLASSES:
        for without in range(classes):
            few = studies(classes, without=without)
            _require_finite(*trial.value_and_slope(few), "for a class without training studies")
            # Of a split that has other classes than the training.
            there = Labelled(few.logits, studies(classes).labels, few.counts)
            _require_finite(*trial.value_and_slope(there), "for a study of a class without others")
        none = Labelled(few.logits, few.labels, torch.zeros_like(few.counts))
        _require_finite(*trial.value_and_slope(none), "without any training study")


@LAWS.law("certainty")
def beyond_doubt(trial: LossTrial) -> None:
    """Logits beyond doubt, right or wrong, give a finite value and gradient."""
    for scale in (1e2, 1e4):
        _require_finite(*trial.value_and_slope(studies(scale=scale)), "for large logits")


@LAWS.law("random state")
def random_states_stay(trial: LossTrial) -> None:
    """The global random states stay as they were, and it gives the same again."""
    labelled, loss = studies(), trial.build()
    arguments = (labelled.logits, labelled.labels, labelled.counts)
    first = loss(*arguments)
    tensors.leaves_random_states(lambda: loss(*arguments))
    require(torch.equal(first, loss(*arguments)), "gives another value for the same studies")


def _near(first: Tensor, second: Tensor) -> bool:
    return bool(((first - second).abs() < TOLERANCE).all())


def _require_finite(value: Tensor, slope: Tensor, where: str) -> None:
    require(bool(value.isfinite()), f"gives a value that is not finite {where}")
    require(bool(slope.isfinite().all()), f"gives a gradient that is not finite {where}")
