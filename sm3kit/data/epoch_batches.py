"""Which studies meet in a batch, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np


class EpochBatches:
    """Batches of (epoch, position), shuffled by seed and epoch, split over processes.

    Args:
        count: number of studies.
        batch_size: studies per batch and process.
        seed: of the order.
        last: "keep", "drop" or "pad" the shorter last batch.
        pad_to: "pad" repeats studies until the last batch divides by this.
        rank, world: this process, and how many there are; all get batches of equal length.
        first_epoch: the epoch that a resumed training begins with.
        least: studies that a batch must have, or it is left out.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        *,
        last: Literal["keep", "drop", "pad"] = "keep",
        pad_to: int = 1,
        rank: int = 0,
        world: int = 1,
        first_epoch: int = 0,
        least: int = 2,
    ) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.last, self.pad_to, self.rank, self.world = last, pad_to, rank, world
        self.least = least
        self.first_epoch = self.epoch = first_epoch
        # Lightning looks for `set_epoch` on the sampler of a batch sampler.
        self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch with its number since the start or the resumption."""
        self.epoch = self.first_epoch + epoch

    def __len__(self) -> int:
        return len(self._batches(np.arange(self.count)))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        # A generator runs later than it is made: the epoch is fixed at the first batch.
        epoch = self.epoch
        order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        for batch in self._batches(order):
            yield [(epoch, int(index)) for index in batch]

    def _batches(self, order: np.ndarray) -> list[np.ndarray]:
        whole = self.batch_size * self.world
        rest = len(order) % whole
        if rest and self.last == "drop" and len(order) > whole:
            order = order[: len(order) - rest]
        elif rest:
            multiple = self.world * (self.pad_to if self.last == "pad" else 1)
            order = np.concatenate([order, order[: -len(order) % multiple]])
        batches = [order[start : start + whole] for start in range(0, len(order), whole)]
        mine = [batch[self.rank :: self.world] for batch in batches]
        # One study alone has nothing to be compared with.
        return [batch for batch in mine if len(batch) >= self.least]
