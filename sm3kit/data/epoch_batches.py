"""Which studies meet in a batch, epoch by epoch.

    EpochBatches(len(cases), batch_size, seed)  # every study once in an epoch, in random order
    EpochBatches(len(cases), batch_size, seed, draw=Draw.of_cases(sampler, cases, pool.labels))
    EpochBatches(len(cases), batch_size, seed, draw=Draw(sampler, clusters, groups))

`draw.labels` may be set anew between epochs; `draw.renew` is asked for them when the first batch of
an epoch is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sm3kit.core.errors import VariantError
from sm3kit.data.cases import Case
from sm3kit.datasets.base import LabelSpec
from sm3kit.samplers.base import Array, Sampler, cut

Place = tuple[int, int, int]  # The epoch, the position, how often the epoch had the study before.


@dataclass
class Draw:
    """A sampler, and what it draws from.

    Attributes:
        sampler: says which studies make a batch.
        labels: (N, K) int64, the class or cluster of each study, as the sampler asks for; -1 where
            unknown. Until the first clusters are made, others of the same number stand in.
        groups: (N,) int64, the patient or lesion of each study.
        renew: epoch -> the labels from then on; None keeps them.
    """

    sampler: Sampler
    labels: Array
    groups: Array
    renew: Callable[[int], Array] | None = None

    @classmethod
    def of_cases(cls, sampler: Sampler, cases: Sequence[Case], specs: Sequence[LabelSpec]) -> Draw:
        """A draw by the labels of N cases.

        Args:
            sampler: draws by labels, or needs none.
            cases: the studies.
            specs: their K labels.

        Raises:
            VariantError: the sampler needs a study of every class; those without are named.
        """
        labels = np.array([case.labels for case in cases], np.int64).reshape(len(cases), -1)
        if sampler.every_class:
            _check_classes(labels, specs)
        return cls(sampler, labels, np.array([case.group for case in cases], np.int64))


def _check_classes(labels: Array, specs: Sequence[LabelSpec]) -> None:
    missing = [
        f"{spec.name} {name}"
        for spec, column in zip(specs, labels.T, strict=True)
        for number, name in enumerate(spec.classes)
        if not (column == number).any()
    ]
    if missing or not specs:
        lack = f"none has {', '.join(missing)}" if missing else "the data have no labels"
        raise VariantError(
            f"The sampler draws training studies of every class of every label, and {lack}. Use "
            "another --sampler, or leave such classes out of the data."
        )


class EpochBatches:
    """Batches of (epoch, position, turn), drawn by seed and epoch, split over processes.

    The turn of a study is 0; where a sampler draws it again in the same epoch, 1, and so on.

    Args:
        count: number of studies.
        batch_size: studies per batch and process; a sampler may have a size of its own, of which
            each process takes its share.
        seed: of the order.
        draw: which studies make a batch; None takes every study once, in random order.
        last: "keep", "drop" or "pad" the shorter last batch.
        pad_to: "pad" repeats studies until the last batch divides by this.
        rank, world: this process, and how many there are; all get batches of equal length.
        first_epoch: the epoch that a resumed training begins with.
        least: studies that a batch must have, or it is left out.
        divide: the batch size is that of all processes together: each takes its share of every
            batch, filled up to equal length; `sizes` says how many studies a batch has.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        *,
        draw: Draw | None = None,
        last: Literal["keep", "drop", "pad"] = "keep",
        pad_to: int = 1,
        rank: int = 0,
        world: int = 1,
        first_epoch: int = 0,
        least: int = 2,
        divide: bool = False,
    ) -> None:
        self.count, self.batch_size, self.seed, self.draw = count, batch_size, seed, draw
        self.last, self.pad_to, self.rank, self.world = last, pad_to, rank, world
        self.least, self.divide = least, divide
        self.sizes: list[int] = []  # Of the batches of all processes in the epoch under way.
        self.first_epoch = self.epoch = first_epoch
        # Lightning looks for `set_epoch` on the sampler of a batch sampler.
        self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch with its number since the start or the resumption."""
        self.epoch = self.first_epoch + epoch

    def __len__(self) -> int:
        return len(self._shares(self._drawn(self.first_epoch)))

    def __iter__(self) -> Iterator[list[Place]]:
        # A generator runs later than it is made: the epoch is fixed at the first batch.
        epoch = self.epoch
        if self.draw and self.draw.renew:
            self.draw.labels = self.draw.renew(epoch)
        drawn = self._drawn(epoch)
        self.sizes = [len(batch) for batch in drawn]
        yield from self._shares(drawn)

    def _drawn(self, epoch: int) -> list[list[Place]]:
        """The batches of all processes together."""
        rng = np.random.default_rng([self.seed, epoch])
        whole = self.batch_size if self.divide else self.batch_size * self.world
        if self.draw is None:
            batches = cut(rng.permutation(self.count), whole)
        else:
            draw = self.draw
            batches = draw.sampler.order(draw.labels, draw.groups, whole, rng)
        turns: Counter[int] = Counter()
        drawn: list[list[Place]] = []
        for batch in batches:
            drawn.append([])
            for index in batch.tolist():
                drawn[-1].append((epoch, index, turns[index]))
                turns[index] += 1
        return [batch for batch in drawn if len(batch) >= self.least] if self.divide else drawn

    def _shares(self, batches: list[list[Place]]) -> list[list[Place]]:
        """What this process gets of each batch."""
        order = [place for batch in batches for place in batch]
        order *= self.world if self.divide else 1  # A share is full, however few studies there are.
        if self.last == "drop" and len(batches) > 1 and len(batches[-1]) < len(batches[0]):
            batches = batches[:-1]
        multiples = [self.world] * len(batches)
        if batches and self.last == "pad" and len(batches[-1]) < self.batch_size * self.world:
            multiples[-1] *= self.pad_to
        filled = [
            batch + order[: -len(batch) % multiple]
            for batch, multiple in zip(batches, multiples, strict=True)
        ]
        mine = [batch[self.rank :: self.world] for batch in filled]
        # One study alone has nothing to be compared with.
        return [batch for batch in mine if self.divide or len(batch) >= self.least]
