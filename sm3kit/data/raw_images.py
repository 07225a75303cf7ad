"""Images of a batch whose views are made on the device that trains, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sm3kit.core.variant import Variant
from sm3kit.data.pool import Pool
from sm3kit.data.viewing import spec_of
from sm3kit.modalities.base import Image, Modality, Numbers
from sm3kit.nn.host.values import without_waiting


class RawImage(NamedTuple):
    """An image whose views are made later.

    Attributes:
        image: (C, H, W).
        drawn: (V, P) what is random in its views.
        rotated: whether they are `rotations`.
    """

    image: Image
    drawn: Numbers
    rotated: bool


@dataclass(frozen=True)
class RawImages:
    """The b images that a batch of B studies has of one modality.

    Attributes:
        pixels: of all images one after the other, (H, W, C) each, as one table: it is copied at
            once, and images of other sizes need no margin.
        shapes: [(H, W, C)] * b.
        drawn: (b, V, P) what is random in their views; it stays on the host.
        rows: (b,) their places in the batch; it stays on the host.
        studies: B.
        rotated: whether the views are `rotations`.
    """

    pixels: Tensor
    shapes: tuple[tuple[int, ...], ...]
    drawn: Tensor
    rows: Tensor
    studies: int
    rotated: bool

    @classmethod
    def of(cls, items: Sequence[RawImage | None]) -> RawImages:
        """The images of B studies, at least one of which has one."""
        there = {row: item for row, item in enumerate(items) if item is not None}
        tables = [np.moveaxis(item.image, 0, -1) for item in there.values()]
        return cls(
            torch.from_numpy(np.concatenate([table.ravel() for table in tables])),
            tuple(table.shape for table in tables),
            torch.from_numpy(np.stack([item.drawn for item in there.values()])),
            torch.tensor(list(there)),
            len(items),
            any(item.rotated for item in there.values()),
        )

    def to(self, device: torch.device | str) -> RawImages:
        """The images on a device; the host does not wait for them if their memory is pinned."""
        return replace(self, pixels=self.pixels.to(device, non_blocking=without_waiting(device)))

    def pin_memory(self) -> RawImages:
        """The images in memory that a GPU copies from at full speed."""
        tables = {name: getattr(self, name).pin_memory() for name in ("pixels", "drawn", "rows")}
        return replace(self, **tables)

    @torch.no_grad()
    def views(self, modality: Modality) -> list[Tensor]:
        """Views [(B, C, S, S)] * V, zeros where a study has none, in channels-last memory."""
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        tables = zip(torch.split(self.pixels, sizes), self.shapes, strict=True)
        images = [table.view(shape).permute(2, 0, 1) for table, shape in tables]
        make = modality.apply_rotations if self.rotated else modality.apply_views
        with torch.autocast(self.pixels.device.type, enabled=False):
            views = make(images, self.drawn)
        if len(images) < self.studies:
            rows = self.rows.to(self.pixels.device, non_blocking=True)
            views = [
                view.new_zeros(self.studies, *view.shape[1:]).index_copy_(0, rows, view)
                for view in views
            ]
        return [view.contiguous(memory_format=torch.channels_last) for view in views]


def in_batches(pool: Pool, variant: Variant) -> list[str]:
    """The modalities whose random views stage 1 makes in batches, on the device that trains."""
    if variant.machine.views_on == "cpu" or not has_gpu():
        return []
    return [name for name, modality in pool.modalities.items() if modality.in_batches]


def has_gpu() -> bool:
    """Whether stage 1 trains on a GPU."""
    return torch.cuda.is_available()


def notes_on_views(pool: Pool, variant: Variant) -> list[str]:
    """What a user should know who wants views made on the GPU."""
    if variant.machine.views_on == "cpu" or variant.stage == "mlssl":
        return []
    if not has_gpu():
        return ["There is no GPU for --views-on gpu: views are made on the CPU."]
    batched = in_batches(pool, variant)
    others = [f"{n} ({spec_of(pool, n).plugin})" for n in pool.modalities if n not in batched]
    made = f"Views of {', '.join(others)} are made on the CPU: their plugin makes none in batches."
    return [made] if others else []
