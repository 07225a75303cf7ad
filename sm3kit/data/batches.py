"""Studies become batches of views, the same for any number of workers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sm3kit.data.cases import Case
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool
from sm3kit.data.raw_images import RawImage, RawImages
from sm3kit.modalities.base import Image, Modality
from sm3kit.nn.host.values import to_device, without_waiting

EVALUATION = -1  # The epoch that stands for the evaluation view; -2, -3, ... for its symmetries.


@dataclass(frozen=True)
class Batch:
    """B studies as raw views, ready to be normalised on the device.

    Attributes:
        views: {modality: [(B, C, S, S)] * V}, as the modality makes them; zeros where absent.
        present: {modality: (B,) bool}.
        labels: (B, K) int64, -1 where unknown.
        index: (B,) position in the pool's list.
        group: (B,) code of the patient or lesion.
        raw: {modality: images} of those whose views are yet to be made; see `make_views`.
    """

    views: dict[str, list[Tensor]]
    present: dict[str, Tensor]
    labels: Tensor
    index: Tensor
    group: Tensor
    raw: dict[str, RawImages] = field(default_factory=dict, kw_only=True)

    unit = "images"

    @property
    def count(self) -> int:
        """The number of views in it."""
        return sum(len(view) for views in self.views.values() for view in views)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device; the host still knows everything in it but the views."""
        soon = without_waiting(device)
        moved = Batch(
            {
                name: [view.to(device, non_blocking=soon) for view in views]
                for name, views in self.views.items()
            },
            {name: to_device(mask, device) for name, mask in self.present.items()},
            *(to_device(table, device) for table in (self.labels, self.index, self.group)),
        )
        return replace(moved, raw={name: own.to(device) for name, own in self.raw.items()})

    def make_views(self, modalities: Mapping[str, Modality]) -> Batch:
        """The batch with the views of its raw images, on their device."""
        made = {name: images.views(modalities[name]) for name, images in self.raw.items()}
        return replace(self, views={**self.views, **made}, raw={})

    def of_view(self, number: int) -> Batch:
        """The batch with one of its views alone."""
        views = {name: views[number : number + 1] for name, views in self.views.items()}
        return replace(self, views=views)

    def pin_memory(self) -> Batch:
        """The batch in memory that a GPU copies from at full speed."""
        pinned = Batch(
            {name: [view.pin_memory() for view in views] for name, views in self.views.items()},
            {name: mask.pin_memory() for name, mask in self.present.items()},
            *(table.pin_memory() for table in (self.labels, self.index, self.group)),
        )
        return replace(pinned, raw={name: own.pin_memory() for name, own in self.raw.items()})


@dataclass(frozen=True)
class Item:
    """One study: {modality: [(C, S, S)] * V}, or the image that they are yet to be made of."""

    views: dict[str, list[Image]]
    labels: tuple[int, ...]
    index: int
    group: int
    raw: dict[str, RawImage] = field(default_factory=dict)


class StudyViews(Dataset[Item]):
    """Views of the cases of a pool, asked for by (epoch, position) or (epoch, position, turn).

    The views of one study in one epoch depend on the seed, the epoch, the position and the turn
    alone, so that neither workers nor a resumed training change them. Of several images of a modality one
    is drawn; registered modalities share their geometry where the pool says so. A negative epoch
    asks for the evaluation view, or a symmetry of it, of the image in the middle.

    Args:
        pool: of the cases.
        cases: the studies.
        cache: where decoded images are kept.
        seed: of the views.
        rotated: gives the four `rotations` of each image instead of its `views`.
        local: gives the local views of each image, too, after the others.
        raw: modalities whose random views are only drawn here, and made later, in batches.
    """

    def __init__(
        self,
        pool: Pool,
        cases: Sequence[Case],
        cache: ImageCache,
        seed: int,
        *,
        rotated: bool = False,
        local: bool = False,
        raw: Collection[str] = (),
    ) -> None:
        self.pool, self.cases, self.cache, self.seed = pool, cases, cache, seed
        self.rotated, self.raw = rotated, raw
        every = pool.modalities.items()
        self.modalities = {name: own if local else own.without_local() for name, own in every}

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, place: tuple[int, ...]) -> Item:
        epoch, index, *turn = place
        case = self.cases[index]
        views: dict[str, list[Image]] = {}
        if epoch <= EVALUATION:
            for name, path in case.eval_images().items():
                image = self.cache.get(path, self.pool.readers[case.source][name])
                views[name] = [self.pool.modalities[name].test_view(image, EVALUATION - epoch)]
            return Item(views, case.labels, index, case.group)
        frames = self.pool.frames[case.source]
        raw: dict[str, RawImage] = {}
        for name, paths in case.images.items():
            rng = self._generator(epoch, index, name, turn)
            path = paths[rng.integers(len(paths))] if len(paths) > 1 else paths[0]
            image = self.cache.get(path, self.pool.readers[case.source][name])
            generators = [rng]
            if name in frames:
                generators += [self._generator(epoch, index, f"frame {frames[name]}", turn)]
            modality = self.modalities[name]
            if name in self.raw:
                draw = modality.draw_rotations if self.rotated else modality.draw_views
                raw[name] = RawImage(image, draw(image, *generators), self.rotated)
            else:
                make = modality.rotations if self.rotated else modality.views
                views[name] = make(image, *generators)
        return Item(views, case.labels, index, case.group, raw)

    def _generator(
        self, epoch: int, index: int, name: str, turn: Sequence[int]
    ) -> np.random.Generator:
        # The first turn has the numbers of a study that comes once.
        again = [number for number in turn if number]
        return np.random.default_rng([self.seed, epoch, index, crc32(name.encode()), *again])


class Collate:
    """Stacks items into a batch; image memory stays channels-last."""

    def __init__(self, modalities: Sequence[str]) -> None:
        self.modalities = modalities

    def __call__(self, items: Sequence[Item]) -> Batch:
        """A batch of B items."""
        views: dict[str, list[Tensor]] = {}
        present: dict[str, Tensor] = {}
        raw: dict[str, RawImages] = {}
        for name in self.modalities:
            have = [name in item.views or name in item.raw for item in items]
            present[name] = torch.tensor(have)
            if any(name in item.raw for item in items):
                raw[name] = RawImages.of([item.raw.get(name) for item in items])
            like = next((item.views[name] for item in items if name in item.views), None)
            if like is None:
                views[name] = []
                continue
            empty = [np.zeros_like(view) for view in like] if not all(have) else like
            views[name] = [
                _stack([item.views.get(name, empty)[v] for item in items]) for v in range(len(like))
            ]
        return Batch(
            views,
            present,
            torch.tensor([item.labels for item in items], dtype=torch.long),
            torch.tensor([item.index for item in items]),
            torch.tensor([item.group for item in items]),
            raw=raw,
        )


def _stack(images: Sequence[Image]) -> Tensor:
    """(B, C, H, W) with channels-last memory."""
    rows = np.stack([image.transpose(1, 2, 0) for image in images])
    return torch.from_numpy(rows).permute(0, 3, 1, 2)


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
