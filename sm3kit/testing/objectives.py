"""The laws of objectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sm3kit.core.options import options_of
from sm3kit.objectives.base import Objective
from sm3kit.testing import tensors
from sm3kit.testing.every_plugin import check_documented
from sm3kit.testing.law import Laws, NotTried, Plugin, require
from sm3kit.testing.processes import process_difference
from sm3kit.testing.tensors import ROWS, TOLERANCE, build_objective, objective_features


@dataclass(frozen=True)
class ObjectiveTrial:
    """An objective class and the options to build it with."""

    plugin: Plugin
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Objective:
        """The objective as it is at the end of a training."""
        return build_objective(self.plugin, self.options)

    def features(self) -> tuple[Any, dict[str, Any]]:
        """Features as the training gives them, and the other arguments."""
        return objective_features(self.plugin)


LAWS: Laws[ObjectiveTrial] = Laws()


def check_objective(plugin: Plugin, processes: bool = False, **options: Any) -> None:
    """Gives finite scalar terms, from which every parameter and the features learn.

    Args:
        plugin: the objective class.
        processes: compare two processes with one on the joined batch, if there is an option
            `gather`; takes a few seconds.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    left_out = () if processes else ("two processes",)
    LAWS.enforce(ObjectiveTrial(plugin, options), plugin, left_out)


@LAWS.law("builds", first=True)
def builds(trial: ObjectiveTrial) -> None:
    """It can be built for features of any width."""
    trial.build()


@LAWS.law("terms")
def finite_scalars(trial: ObjectiveTrial) -> None:
    """It gives one or more terms, each a finite float32 scalar."""
    features, keywords = trial.features()
    terms = trial.build()(features, **keywords)
    require(bool(terms), "gives no term")
    for name, term in terms.items():
        require(term.shape == (), f"term {name!r} is no scalar but {tuple(term.shape)}")
        require(bool(term.isfinite()), f"term {name!r} is not finite")
        require(term.dtype == torch.float32, f"term {name!r} is {term.dtype}")


@LAWS.law("input")
def input_stays(trial: ObjectiveTrial) -> None:
    """The features stay as they were."""
    features, keywords = trial.features()
    objective = trial.build()
    tensors.leaves_alone(lambda views: objective(views, **keywords), features)


@LAWS.law("gradient")
def all_learns(trial: ObjectiveTrial) -> None:
    """A gradient reaches every weight and every view."""
    objective = trial.build()
    features, keywords = trial.features()
    terms = objective(features, **keywords)
    tensors.all_learn(objective, torch.stack(list(terms.values())).sum())
    for view in tensors.leaves(features):
        require(view.grad is not None, "gives some features no gradient")


@LAWS.law("seed")
def seed_decides(trial: ObjectiveTrial) -> None:
    """The same seed gives the same weights and terms; nothing is random in eval mode."""
    features, keywords = trial.features()
    tensors.by_seed(trial.build, lambda objective: objective(features, **keywords))
    objective = trial.build().eval()
    first, second = objective(features, **keywords), objective(features, **keywords)
    require(tensors.same(first, second), "is not the same when asked twice")


@LAWS.law("batch order")
def any_order(trial: ObjectiveTrial) -> None:
    """The order of the rows in a batch does not matter."""
    objective, order = trial.build().eval(), tensors.order_of_rows(ROWS)
    features, keywords = trial.features()

    def shuffle(value: Any) -> Any:
        return tensors.each_tensor(value, lambda rows: rows[order])

    plain = objective(features, **keywords)
    other = objective(shuffle(features), **shuffle(keywords))
    difference = max(float((plain[name] - other[name]).detach().abs()) for name in plain)
    require(difference < TOLERANCE, tensors.ORDER)


@LAWS.law("names")
def any_names(trial: ObjectiveTrial) -> None:
    """Streams may have any name, such as `type`, `a.b` and `a-b`; no term gets lost."""
    features, keywords = trial.features()
    if "present" not in keywords:
        raise NotTried("it works within a modality, and learns no name")
    objective = ObjectiveTrial(trial.plugin).build().eval()  # An option may name a stream.
    plain = list(objective(features, **keywords).values())
    for names in (["type", "train", "a.b"], ["a-b", "a", "b-a"]):
        table = dict(zip(names, features.values(), strict=True))
        present = dict(zip(names, keywords["present"].values(), strict=True))
        terms = list(objective(table, **{**keywords, "present": present}).values())
        fault = f"gives other terms where streams are named {', '.join(names)}"
        require(len(terms) == len(plain), fault)
        near = torch.allclose(torch.stack(terms).sum(), torch.stack(plain).sum(), atol=TOLERANCE)
        require(near, fault)


@LAWS.law("state")
def state_is_whole(trial: ObjectiveTrial) -> None:
    """With its state saved and loaded it is the same."""
    features, keywords = trial.features()
    tensors.round_trip(
        trial.build(), trial.build(), lambda objective: objective(features, **keywords)
    )


@LAWS.law("missing images")
def missing_images(trial: ObjectiveTrial) -> None:
    """Absent rows do not count, and batches of few or no images are no error."""
    objective = trial.build()
    features, keywords = trial.features()
    if "present" not in keywords:
        few = tensors.each_tensor((features, keywords), lambda rows: rows[:2])
        _finite(objective(few[0], **few[1]), "of two rows")
        return
    objective.eval()
    present = dict(keywords["present"])
    last = list(present)[-1]
    present[last] = torch.arange(ROWS) > 1
    other = {name: tensors.without_gradient(views) for name, views in features.items()}
    for view in other[last]:
        view[:2] = 100.0
    terms = objective(features, **{**keywords, "present": present})
    two = objective(other, **{**keywords, "present": present})
    difference = max(float((terms[name] - two[name]).detach().abs()) for name in terms)
    require(difference < TOLERANCE, "lets absent rows count")
    absent = {name: torch.zeros(ROWS, dtype=torch.bool) for name in present}
    _finite(objective(features, **{**keywords, "present": absent}), "without any image")


def _finite(terms: Mapping[str, Tensor], batch: str) -> None:
    for name, term in terms.items():
        require(bool(term.isfinite()), f"term {name!r} is not finite for a batch {batch}")


@LAWS.law("two processes")
def two_are_one(trial: ObjectiveTrial) -> None:
    """Two processes give the loss and gradients of one on the joined batch."""
    if "gather" not in options_of(trial.plugin):
        raise NotTried("it has no option 'gather', so each process compares its own rows")
    difference = process_difference(trial.plugin, **trial.options)
    require(difference < TOLERANCE, "differs between two processes and one on the joined batch")
