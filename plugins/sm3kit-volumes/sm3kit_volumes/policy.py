"""From a volume to one image: a slice, a projection, or a stack of neighbouring slices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sm3kit.api import DataError
from sm3kit.imaging import resizing
from sm3kit_volumes.parts import Part
from sm3kit_volumes.volume import Axis, Volume, Voxels

Choice = Literal["slice", "mip", "stack"]
Projection = Literal["max", "mean"]


@dataclass(frozen=True)
class Policy:
    """What is taken of a volume. Its text is all that the pixels depend on.

    Attributes:
        policy: slice, mip (a projection along the axis) or stack (slices as channels).
        axis: what the slices are cut across. A volume of one slice is taken in its own plane.
        channels: number C of channels; slice and mip repeat their image.
        spacing: how far the slices of a stack are apart, in millimetres.
        projection: max or mean, for mip.
        longest: images are scaled down to this side, in pixels; 0 keeps the voxels.
    """

    policy: Choice
    axis: Axis
    channels: int
    spacing: float
    projection: Projection
    longest: int

    def taken(self, volume: Volume, part: Part) -> tuple[Voxels, tuple[float, float]]:
        """The pixels (H, W, C) as they are stored, and height and width of one in millimetres.

        Raises:
            DataError: there is no such slice, or the volume cannot be read.
        """
        axis = _thin_axis(volume) or self.axis
        if self.policy == "mip":
            if part.slice:
                raise DataError(
                    f"{volume.path}#slice={part.slice}: a projection (policy=mip) has no slices. "
                    "Leave the part out, or use policy=slice."
                )
            pixels = volume.projection(axis, self.projection)
        else:
            indices = self._indices(volume, axis, part.slice)
            pixels = volume.planes(axis, indices)
        if pixels.shape[2] != self.channels:
            pixels = np.repeat(pixels, self.channels, axis=2)
        return pixels, volume.plane_spacing(axis)

    def _indices(self, volume: Volume, axis: Axis, wanted: str) -> list[int]:
        length = volume.length(axis)
        centre = _index(volume, axis, wanted)
        if self.policy == "slice":
            return [centre]
        step = self.spacing / volume.step(axis)
        offsets = [(c - (self.channels - 1) / 2) * step for c in range(self.channels)]
        # At the ends of the volume the last slice stands for those beyond it.
        return [min(max(centre + math.floor(offset + 0.5), 0), length - 1) for offset in offsets]


def square(pixels: Voxels, spacing: tuple[float, float], longest: int, outside: float) -> Voxels:
    """Pixels (H, W, C) as (S, S, C) with square pixels of the finer spacing, centred.

    Args:
        spacing: height and width of a pixel, in millimetres.
        longest: the longest side that will do, in pixels; 0 for any.
    """
    finest = min(spacing)
    height, width = (n * mm / finest for n, mm in zip(pixels.shape[:2], spacing, strict=True))
    scale = min(1.0, longest / max(height, width)) if longest else 1.0
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    pixels = np.ascontiguousarray(pixels)
    if (height, width) != pixels.shape[:2]:
        # Bilinear where it shrinks, too: bicubic would make values that no voxel has.
        pixels = resizing.fast(pixels, height, width)
    side = max(height, width)
    rows, columns = side - height, side - width
    around = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0))
    return np.pad(pixels, around, constant_values=outside)


def _index(volume: Volume, axis: Axis, wanted: str) -> int:
    length = volume.length(axis)
    text = wanted or "50%"
    try:
        index = int(float(text[:-1]) / 100 * length) if text.endswith("%") else int(text)
    except ValueError:
        raise DataError(
            f"{volume.path}#slice={wanted}: a slice is a number from 0 on, or a percentage such as "
            "30%."
        ) from None
    if text.endswith("%"):
        index = min(index, length - 1)
    if not 0 <= index < length:
        raise DataError(
            f"{volume.path}#slice={wanted}: there are {length} {axis} slices, 0 to {length - 1}."
        )
    return index


def _thin_axis(volume: Volume) -> Axis | None:
    """The axis across the only slice of a volume that has one."""
    axes: tuple[Axis, ...] = ("sagittal", "coronal", "axial")
    thin = [axis for axis in axes if volume.length(axis) == 1]
    return thin[0] if len(thin) == 1 else None
