"""The laws of samplers."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from sm3kit.core.errors import VariantError
from sm3kit.samplers.base import Array, Sampler
from sm3kit.testing import tensors
from sm3kit.testing.every_plugin import check_documented
from sm3kit.testing.law import Laws, NotTried, Plugin, require

CLASSES = (2, 3, 5)  # Of each label.
EPOCHS = 200


@dataclass(frozen=True)
class Drawn:
    """What a sampler draws from.

    Attributes:
        labels: (N, K).
        groups: (N,).
        batch_size: studies per batch.
    """

    labels: Array
    groups: Array
    batch_size: int = 8


@dataclass(frozen=True)
class SamplerTrial:
    """A sampler class and the options to build it with."""

    plugin: Plugin
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Sampler:
        """The sampler."""
        sampler: Sampler = self.plugin(**self.options)
        return sampler

    def order(self, drawn: Drawn, epoch: int = 0, sampler: Sampler | None = None) -> list[Array]:
        """The batches of one epoch, each epoch with random numbers of its own."""
        maker = sampler or self.build()
        rng = np.random.default_rng([7, epoch])
        return maker.order(drawn.labels.copy(), drawn.groups.copy(), drawn.batch_size, rng)


LAWS: Laws[SamplerTrial] = Laws()


def studies(count: int = 40, labels: int = 3, batch_size: int = 8) -> Drawn:
    """Studies whose first class of each label is the most frequent; two share a group.

    Args:
        count: N.
        labels: K.
        batch_size: studies per batch.
    """
    place = np.arange(count)
    columns = [np.maximum(place % (2 * classes) - classes, 0) for classes in CLASSES[:labels]]
    table = np.stack(columns, axis=1) if columns else np.empty((count, 0))
    return Drawn(table.astype(np.int64), place // 2, batch_size)


def every_kind() -> Iterator[Drawn]:
    """Studies of one label and of three, fewer and more than make a batch."""
    for count, labels, batch_size in product((12, 41), (1, 3), (2, 8, 64)):
        yield studies(count, labels, batch_size)


def check_sampler(plugin: Plugin, **options: Any) -> None:
    """Gives batches of studies that depend on its arguments alone, and reach every study.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    LAWS.enforce(SamplerTrial(plugin, options), plugin)


@LAWS.law("builds", first=True)
def builds(trial: SamplerTrial) -> None:
    """It can be built, and says what it draws on."""
    known = typing.get_args(typing.get_type_hints(Sampler)["on"])[0]
    words = typing.get_args(known)
    require(trial.build().on in words, f"has an `on` that is not one of {', '.join(words)}")


@LAWS.law("positions")
def positions(trial: SamplerTrial) -> None:
    """Every batch is a list of positions of studies, and not empty."""
    for drawn in every_kind():
        _require_positions(trial.order(drawn), len(drawn.groups))


@LAWS.law("batch size")
def batch_sizes(trial: SamplerTrial) -> None:
    """All batches are equally long, but for a last one that may be shorter."""
    for drawn in every_kind():
        *whole, last = [len(batch) for batch in trial.order(drawn)]
        require(len(set(whole)) < 2, "gives batches of several sizes")
        require(not whole or last <= whole[0], "gives a last batch that is larger than others")


@LAWS.law("length")
def length_is_known(trial: SamplerTrial) -> None:
    """The number of batches follows from the numbers of studies and classes."""
    sampler = trial.build()
    for drawn in every_kind():
        tables = [drawn.labels] * 8
        if sampler.on == "clusters":  # Their sizes change, too.
            even = [np.arange(len(drawn.groups)) % classes for classes in CLASSES]
            tables.append(np.stack(even[: drawn.labels.shape[1]], axis=1))
        lengths = {
            len(trial.order(Drawn(table, drawn.groups, drawn.batch_size), epoch))
            for epoch, table in enumerate(tables)
        }
        require(len(lengths) == 1, "gives epochs of different numbers of batches")


@LAWS.law("seed")
def seed_decides(trial: SamplerTrial) -> None:
    """The same random numbers give the same batches, others give others."""
    drawn = studies()
    require(_same(trial.order(drawn), trial.order(drawn)), "ignores its random numbers")
    others = [trial.order(drawn, epoch) for epoch in range(1, 5)]
    require(
        not all(_same(trial.order(drawn), other) for other in others),
        "gives the same batches in every epoch",
    )


@LAWS.law("state")
def keeps_nothing(trial: SamplerTrial) -> None:
    """It keeps nothing between epochs: a resumed training sees the same batches."""
    sampler, drawn = trial.build(), studies()
    trial.order(drawn, 0, sampler)
    trial.order(studies(12, 1), 1, sampler)
    again = trial.order(drawn, 2, sampler)
    require(_same(again, trial.order(drawn, 2)), "depends on the epochs before")


@LAWS.law("random state")
def random_states_stay(trial: SamplerTrial) -> None:
    """The global random states stay as they were."""
    tensors.leaves_random_states(lambda: trial.order(studies()))


@LAWS.law("input")
def input_stays(trial: SamplerTrial) -> None:
    """Labels and groups stay as they were, and may be read-only."""
    drawn = studies()
    labels, groups = drawn.labels.copy(), drawn.groups.copy()
    trial.build().order(labels, groups, drawn.batch_size, np.random.default_rng(0))
    same = np.array_equal(labels, drawn.labels) and np.array_equal(groups, drawn.groups)
    require(same, "changes its input in place")


@LAWS.law("every study")
def every_study(trial: SamplerTrial) -> None:
    """Every study comes up sooner or later."""
    for labels in (1, 3):
        drawn = studies(labels=labels)
        seen = {int(i) for epoch in range(EPOCHS) for b in trial.order(drawn, epoch) for i in b}
        lost = len(drawn.groups) - len(seen)
        require(not lost, f"never draws {lost} of {len(drawn.groups)} studies")


@LAWS.law("unknown classes")
def unknown_classes(trial: SamplerTrial) -> None:
    """Studies with classes that are unknown, some or all of them, are no reason to stop."""
    drawn = studies()
    drawn.labels[::7, 0] = -1
    drawn.labels[1] = -1
    for epoch in range(5):
        _require_positions(trial.order(drawn, epoch), len(drawn.groups))


@LAWS.law("no labels")
def without_labels(trial: SamplerTrial) -> None:
    """Without labels it draws all the same, or refuses with a VariantError."""
    drawn = studies(labels=0)
    try:
        batches = trial.order(drawn)
    except VariantError as error:
        needs = trial.build().on != "nothing"
        require(needs, f"says that it needs no labels, and refuses to do without: {error}")
    else:
        _require_positions(batches, len(drawn.groups))


@LAWS.law("every class")
def empty_class(trial: SamplerTrial) -> None:
    """A class without a study is refused with a VariantError, if it needs every class."""
    drawn = studies()
    drawn.labels[drawn.labels[:, 1] == 1, 1] = 0
    if not trial.build().every_class:
        _require_positions(trial.order(drawn), len(drawn.groups))
        raise NotTried("it does not need every class")
    try:
        trial.order(drawn)
    except VariantError:
        return
    require(False, "says that it needs every class, and draws without")


def _require_positions(batches: list[Array], count: int) -> None:
    require(len(batches) > 0, "gives no batches")
    for batch in batches:
        fine = isinstance(batch, np.ndarray) and batch.ndim == 1
        require(fine, "gives a batch that is not an array of positions")
        require(batch.dtype == np.int64, f"gives positions of type {batch.dtype}, not int64")
        require(len(batch) > 0, "gives an empty batch")
        inside = bool(((batch >= 0) & (batch < count)).all())
        require(inside, f"gives a position outside 0 to {count - 1}")


def _same(first: list[Array], second: list[Array]) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))
