"""Studies become batches of views, the same for any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sm3kit.engine.image_cache import ImageCache
from sm3kit.engine.pool import Case, Pool
from sm3kit.modalities.base import Image

EVALUATION = -1  # The epoch that stands for the evaluation view.


@dataclass(frozen=True)
class Batch:
    """B studies as raw views, ready to be normalised on the device.

    Attributes:
        views: {modality: [(B, C, S, S)] * V}, as the modality makes them; zeros where absent.
        present: {modality: (B,) bool}.
        labels: (B, K) int64, -1 where unknown.
        index: (B,) position in the pool's list.
        group: (B,) code of the patient or lesion.
    """

    views: dict[str, list[Tensor]]
    present: dict[str, Tensor]
    labels: Tensor
    index: Tensor
    group: Tensor

    unit = "images"

    @property
    def count(self) -> int:
        """The number of views in it."""
        return sum(len(view) for each in self.views.values() for view in each)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in memory that a GPU copies from at full speed."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            {name: [change(view) for view in views] for name, views in self.views.items()},
            {name: change(mask) for name, mask in self.present.items()},
            change(self.labels),
            change(self.index),
            change(self.group),
        )


@dataclass(frozen=True)
class Item:
    """One study: {modality: [(C, S, S)] * V}, nothing for an absent modality."""

    views: dict[str, list[Image]]
    labels: tuple[int, ...]
    index: int
    group: int


class StudyViews(Dataset[Item]):
    """Views of the cases of a pool, asked for by (epoch, position).

    The views of one study in one epoch depend on the seed, the epoch and the position alone, so
    that neither workers nor a resumed training change them. A negative epoch asks for the
    evaluation view.
    """

    def __init__(self, pool: Pool, cases: Sequence[Case], cache: ImageCache, seed: int) -> None:
        self.pool, self.cases, self.cache, self.seed = pool, cases, cache, seed

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, place: tuple[int, int]) -> Item:
        epoch, index = place
        case = self.cases[index]
        views = {}
        for name, path in case.images.items():
            image = self.cache.get(path, self.pool.readers[case.source][name])
            modality = self.pool.modalities[name]
            if epoch == EVALUATION:
                views[name] = [modality.eval_view(image)]
            else:
                entropy = [self.seed, epoch, index, crc32(name.encode())]
                views[name] = modality.views(image, np.random.default_rng(entropy))
        return Item(views, case.labels, index, case.group)


class Collate:
    """Stacks items into a batch; image memory stays channels-last."""

    def __init__(self, modalities: Sequence[str]) -> None:
        self.modalities = modalities

    def __call__(self, items: Sequence[Item]) -> Batch:
        """A batch of B items."""
        views: dict[str, list[Tensor]] = {}
        present: dict[str, Tensor] = {}
        for name in self.modalities:
            have = [name in item.views for item in items]
            present[name] = torch.tensor(have)
            like = next((item.views[name] for item in items if name in item.views), None)
            if like is None:
                views[name] = []
                continue
            empty = [np.zeros_like(view) for view in like] if not all(have) else like
            views[name] = [
                _stacked([item.views.get(name, empty)[v] for item in items])
                for v in range(len(like))
            ]
        return Batch(
            views,
            present,
            torch.tensor([item.labels for item in items], dtype=torch.long),
            torch.tensor([item.index for item in items]),
            torch.tensor([item.group for item in items]),
        )


def _stacked(images: Sequence[Image]) -> Tensor:
    """(B, C, H, W) with channels-last memory."""
    rows = np.stack([image.transpose(1, 2, 0) for image in images])
    return torch.from_numpy(rows).permute(0, 3, 1, 2)


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


def train_loader(
    dataset: StudyViews, batches: EpochBatches, modalities: Sequence[str], workers: int
) -> DataLoader[Item]:
    """The loader of a training; its random numbers do not touch the global generator."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=Collate(modalities),
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator().manual_seed(batches.seed),
        worker_init_fn=one_thread_each,
    )


def eval_loader(
    dataset: StudyViews,
    batch_size: int,
    modalities: Sequence[str],
    workers: int = 0,
    epoch: int = EVALUATION,
) -> DataLoader[Item]:
    """The loader of the evaluation views, or of the views of an epoch, in order."""
    places = [(epoch, index) for index in range(len(dataset))]
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=places,
        collate_fn=Collate(modalities),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator().manual_seed(0),
        worker_init_fn=one_thread_each,
    )


def one_thread_each(worker: int) -> None:
    """Lets each worker use one thread: there are as many workers as cores."""
    torch.set_num_threads(1)


def shares(cases: Sequence[Case], modalities: Sequence[str]) -> Mapping[str, int]:
    """How many cases have each modality."""
    return {name: sum(name in case.images for case in cases) for name in modalities}
