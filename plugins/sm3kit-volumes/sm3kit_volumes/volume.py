"""A scan on disk, of which only the voxels that are asked for are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sm3kit.api import DataError
from sm3kit_volumes.libraries import library

Voxels = npt.NDArray[Any]
Axis = Literal["sagittal", "coronal", "axial"]
# The place of an axis in nibabel's canonical order: left to right, back to front, feet to head.
AXES: dict[str, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Volume:
    """Voxels in the order of the file, and an affine that says where they are in the body.

    Attributes:
        path: as messages name it.
        shape: numbers (I, J, K) of voxels as they are stored; K is the slowest axis.
        affine: (4, 4), from stored indices to millimetres to the right, to the front, upward.
        block: `block(first, last)` gives the voxels (I, J, last - first).
        outside: the value of what is outside of the body, and of voxels that are not finite;
            if it is NaN, DICOM padding (PixelPaddingValue) is NaN, too.
        whole: one block is as much work as all.
        headers: DICOM headers of the slices, without pixels; empty for other formats.
    """

    path: str
    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]
    block: Callable[[int, int], Voxels]
    outside: float = 0.0
    whole: bool = False
    headers: tuple[Any, ...] = ()

    @cached_property
    def stored(self) -> tuple[tuple[int, bool], ...]:
        """For each canonical axis: the stored axis nearest to it, and whether it runs backwards."""
        orientations = library("nibabel.orientations", "Orientations of scans")
        if min(self.shape) < 1:
            raise DataError(
                f"{self.path} has shape {self.shape}, which holds no voxel. Leave its study out."
            )
        if not np.isfinite(self.affine).all():
            raise DataError(f"{self.path} has no valid orientation: its affine is not finite.")
        ornt = orientations.io_orientation(self.affine)
        if np.isnan(ornt).any():
            raise DataError(f"{self.path} has no valid orientation: its affine is singular.")
        found = {int(axis): (place, flip < 0) for place, (axis, flip) in enumerate(ornt)}
        return tuple(found[axis] for axis in range(3))

    @property
    def inverted(self) -> bool:
        """Whether low values are bright: MONOCHROME1 of DICOM."""
        kinds = {header.get("PhotometricInterpretation") for header in self.headers[:1]}
        return "MONOCHROME1" in kinds

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        """The size of a voxel along each stored axis, in millimetres."""
        return tuple(float(size) for size in np.linalg.norm(self.affine[:3, :3], axis=0))

    def length(self, axis: Axis) -> int:
        """How many planes there are along an axis."""
        return self.shape[self.stored[AXES[axis]][0]]

    def step(self, axis: Axis) -> float:
        """How far neighbouring planes along an axis are apart, in millimetres."""
        return self.spacing[self.stored[AXES[axis]][0]]

    def plane_spacing(self, axis: Axis) -> tuple[float, float]:
        """Height and width of a pixel of a plane, in millimetres."""
        across, down = (place for name, place in AXES.items() if name != axis)
        return self.spacing[self.stored[down][0]], self.spacing[self.stored[across][0]]

    def planes(self, axis: Axis, indices: Sequence[int]) -> Voxels:
        """Planes (H, W, N) at canonical indices, as radiologists look at them.

        Head or front up; the right of the patient, or the front, on the left.
        """
        place, backwards = self.stored[AXES[axis]]
        wanted = [self.shape[place] - 1 - k if backwards else k for k in indices]
        if place == 2:
            voxels = np.concatenate([self.voxels(k, k + 1) for k in wanted], axis=2)
        else:
            taken = [np.take(voxels, wanted, axis=place) for voxels in self.blocks()]
            voxels = np.moveaxis(np.concatenate(taken, axis=2), place, 2)
        return self._upright(voxels, axis)

    def projection(self, axis: Axis, how: Literal["max", "mean"]) -> Voxels:
        """The largest or the mean value along an axis, (H, W, 1), upright as `planes`."""
        place, _ = self.stored[AXES[axis]]
        combine, reduce = (np.maximum, np.max) if how == "max" else (np.add, np.sum)
        parts = [reduce(voxels, axis=place, keepdims=True) for voxels in self.blocks()]
        flat = combine.reduce(parts) if place == 2 else np.concatenate(parts, axis=2)
        if how == "mean":
            flat = flat / np.float32(self.shape[place])
        return self._upright(np.moveaxis(flat, place, 2), axis)

    def blocks(self) -> Iterator[Voxels]:
        """All voxels, a few planes of the slowest axis at a time."""
        plane = self.shape[0] * self.shape[1] * 8
        deep = self.shape[2] if self.whole else max(1, BLOCK_BYTES // plane)
        for first in range(0, self.shape[2], deep):
            yield self.voxels(first, min(first + deep, self.shape[2]))

    def voxels(self, first: int, last: int) -> Voxels:
        """Float32 voxels (I, J, last - first); what is not finite is outside.

        Raises:
            DataError: the file is damaged.
        """
        try:
            with np.errstate(all="ignore"):  # What is too large becomes infinite, so outside.
                voxels = np.asarray(self.block(first, last), dtype=np.float32)
        except DataError:
            raise
        except Exception as error:  # Decoders raise nearly anything on a damaged file.
            raise damaged(self.path, error) from error
        finite = np.isfinite(voxels)
        return voxels if finite.all() else np.where(finite, voxels, np.float32(self.outside))

    def _upright(self, voxels: Voxels, axis: Axis) -> Voxels:
        """Planes (two stored axes in their order, N) as (H, W, N)."""
        across, down = (self.stored[place] for name, place in AXES.items() if name != axis)
        if across[0] > down[0]:
            voxels = np.swapaxes(voxels, 0, 1)
        # Canonical axes run to the right, the front and the head; an image starts at the other end.
        steps = [1 if backwards else -1 for _, backwards in (across, down)]
        return np.swapaxes(voxels[:: steps[0], :: steps[1]], 0, 1)


def damaged(
    path: object,
    error: Exception,
    advice: str = "Copy it again from its source, or leave its study out.",
) -> DataError:
    """The error for a file that a library cannot read."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return DataError(f"Cannot read {path}: {reason}. {advice}")
