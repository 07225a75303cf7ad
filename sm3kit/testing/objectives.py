"""The laws of objectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sm3kit.core.options import options_of
from sm3kit.objectives.base import Objective
from sm3kit.testing import tensors
from sm3kit.testing.every_plugin import check_documented
from sm3kit.testing.law import Laws, NotTried, Plugin, require, require_attributes
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


FEW = 3  # Rows of a batch of which all ways to be present are tried.
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
    plugin: Any = trial.plugin
    local = plugin.wants_local and (plugin.on == "streams" or plugin.wants_rotations)
    require(not local, "wants local views, which streams and rotated views have none of")
    for option in ("teacher", "teacher_backbone") if plugin.wants_teacher else ():
        known = option in options_of(trial.plugin)
        require(known, f"wants a teacher, and has no option {option!r} that says who it is")
    require_attributes(trial.build(), ["_modules"], "call super().__init__() there")


@LAWS.law("terms")
def finite_scalars(trial: ObjectiveTrial) -> None:
    """It gives one or more terms, each a finite float32 scalar."""
    features, keywords = trial.features()
    terms = trial.build()(features, **keywords)
    require(bool(terms), "gives no term")
    for name, term in terms.items():
        shape = tuple(term.shape)
        require(shape == (), f"gives a term {name!r} of shape {shape}, not a scalar")
        require(bool(term.isfinite()), f"gives a term {name!r} that is not finite")
        require(term.dtype == torch.float32, f"gives a term {name!r} in {term.dtype}, not float32")


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
    require(tensors.same(first, second), "gives different terms when called twice")


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
        raise NotTried("it works within a modality, so it sees no names")
    objective = ObjectiveTrial(trial.plugin).build().eval()  # An option may name a stream.
    plain = list(objective(features, **keywords).values())
    for names in (["type", "train", "a.b"], ["a-b", "a", "b-a"]):
        table = dict(zip(names, features.values(), strict=True))
        present = dict(zip(names, keywords["present"].values(), strict=True))
        terms = list(objective(table, **{**keywords, "present": present}).values())
        fault = f"gives different terms if streams are named {', '.join(names)}"
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
    """Absent rows do not count, whichever they are; few or no images are no error."""
    features, keywords = trial.features()
    if "present" not in keywords:
        _any_rows_of_a_modality(trial.build(), features, keywords)
        return
    views, group = tensors.each_tensor(
        (features, keywords["group"]), lambda rows: rows[:FEW].detach()
    )
    # Options may cut the batch into parts, so only without them a study less changes nothing.
    objective, plain = trial.build().eval(), ObjectiveTrial(trial.plugin).build().eval()
    for present in tensors.every_presence(list(features), FEW):
        _absent_rows_do_not_count(objective, views, group, present)
        _as_if_left_out(plain, views, group, present)


def _any_rows_of_a_modality(objective: Objective, features: Any, keywords: Any) -> None:
    """The training hands over the present rows alone: any two or more, another set each time."""
    for present in tensors.every_presence(["rows"], ROWS):
        count = int(present["rows"].sum())
        if count < 2:
            continue
        here = tensors.each_tensor((features, keywords), partial(_rows_of, present["rows"]))
        _learns_finitely(objective, here[0], here[1], f"of {count} rows")


@LAWS.law("labels")
def unknown_labels(trial: ObjectiveTrial) -> None:
    """Where it gets labels, a batch in which none is known is no error."""
    features, keywords = trial.features()
    if "labels" not in keywords:
        raise NotTried("it gets no labels")
    unknown = {**keywords, "labels": torch.full_like(keywords["labels"], -1)}
    _learns_finitely(trial.build(), features, unknown, "without known labels")


def _learns_finitely(
    objective: Objective, features: Any, keywords: Mapping[str, Any], batch: str
) -> None:
    terms = objective(features, **keywords)
    _finite(terms, batch)
    total = torch.stack(list(terms.values())).sum()
    learned = torch.autograd.grad(total, tensors.leaves(features), allow_unused=True)
    finite = all(bool(part.isfinite().all()) for part in learned if part is not None)
    require(finite, f"gives gradients that are not finite for a batch {batch}")


def _rows_of(rows: Tensor, table: Tensor) -> Tensor:
    return table[rows]


def _absent_rows_do_not_count(
    objective: Objective, features: Any, group: Tensor, present: dict[str, Tensor]
) -> None:
    """The same terms, whatever stands in absent rows."""
    other = tensors.with_other_absent_rows(features, present)
    terms = objective(features, present=present, group=group)
    _finite(terms, f"with {sum(int(rows.sum()) for rows in present.values())} images")
    require(_near(terms, objective(other, present=present, group=group)), "lets absent rows count")


def _as_if_left_out(
    objective: Objective, features: Any, group: Tensor, present: dict[str, Tensor]
) -> None:
    """The same terms without the studies that have no image at all."""
    there = torch.stack(list(present.values())).any(dim=0)
    if there.all() or there.sum() < 2:
        return
    whole = objective(features, present=present, group=group)
    fewer = tensors.each_tensor((features, present, group), lambda rows: rows[there])
    left = objective(fewer[0], present=fewer[1], group=fewer[2])
    require(_near(whole, left), "counts studies without any image")


def _near(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.allclose(first[name], second[name], atol=TOLERANCE) for name in first
    )


def _finite(terms: Mapping[str, Tensor], batch: str) -> None:
    for name, term in terms.items():
        require(
            bool(term.isfinite()), f"gives a term {name!r} that is not finite for a batch {batch}"
        )


@LAWS.law("two processes")
def two_are_one(trial: ObjectiveTrial) -> None:
    """Two processes give the loss and gradients of one on the joined batch."""
    if "gather" not in options_of(trial.plugin):
        raise NotTried("it has no option 'gather', so each process compares its own rows")
    difference = process_difference(trial.plugin, **trial.options)
    require(difference < TOLERANCE, "differs between two processes and one on the joined batch")
