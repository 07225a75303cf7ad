"""What both modalities share: reading, places of views, normalisation, limits of options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sm3kit.api import Image, OptionError, known_tensor
from sm3kit.imaging import geometry, resizing
from sm3kit.imaging.layout import Pixels, to_chw, to_hwc
from sm3kit.imaging.reading import read_pixels

# Networks with weights of ImageNet expect its mean and deviation; with one channel their average.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
READING = 3  # Counts changes of `read` that would give other pixels for the same file.


@dataclass(frozen=True)
class Place:
    """How views are cut out of an image: the sizes, turns and flips that may be drawn."""

    size: int
    crop_scale: tuple[float, float]
    crop_ratio: tuple[float, float]
    rotate: float
    flip: float
    vertical_flip: float = 0.0

    def draw(
        self,
        pixels: Pixels,
        rng: np.random.Generator,
        moved: Callable[[geometry.Box], geometry.Box] | None = None,
    ) -> Pixels:
        """One view (S, S, C); the draws are those of sm3kit's photographs, in the same order.

        Args:
            moved: puts the box that was drawn to another place.
        """
        height, width = pixels.shape[:2]
        box = geometry.draw_crop(height, width, self.crop_scale, self.crop_ratio, rng)
        pixels = geometry.crop(pixels, box if moved is None else moved(box))
        pixels = resizing.fast(pixels, self.size, self.size)
        if self.rotate:
            pixels = geometry.rotate(pixels, rng.uniform(-self.rotate, self.rotate))
        if rng.random() < self.flip:
            pixels = geometry.flip_horizontal(pixels)
        if rng.random() < self.vertical_flip:
            pixels = geometry.flip_vertical(pixels)
        return pixels


def enough(image_size: int, crop_scale: tuple[float, float], reduce: bool) -> int:
    """The shorter side, in pixels, that does for the smallest crop; 0 keeps all."""
    return resizing.enough_for(image_size, crop_scale[0]) if reduce else 0


def read(
    path: str, channels: int, shorter_side: int, cut: Callable[[Pixels], Pixels] | None = None
) -> Image:
    """The image (C, H, W) of a file, scaled down to a shorter side; see `sm3kit.imaging`.

    Args:
        cut: takes away what is not part of the image.

    Raises:
        DataError: the file is missing, damaged, or has another number of channels, or float
            values that are not from 0 to 1.
    """
    pixels = read_pixels(path, channels, shorter_side)
    pixels = pixels if cut is None else cut(pixels)
    pixels = resizing.shrink(pixels, shorter_side) if shorter_side else pixels
    return to_chw(np.ascontiguousarray(pixels))


def whole(image: Image, size: int) -> Image:
    """The whole image as (C, S, S); its aspect ratio is not kept."""
    return to_chw(resizing.fast(to_hwc(image), size, size))


def normalised(views: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Float32 views (B, C, S, S) less the mean, over the deviation, of values from 0 to 1."""
    unit = 1.0 if views.is_floating_point() else 255.0
    middle, width = (known_tensor(row, views.device).view(1, -1, 1, 1) for row in (mean, std))
    return (views.to(torch.float32) / unit - middle) / width


def check_channels(plugin: str, channels: int, **given: tuple[float, ...]) -> None:
    """Makes sure that options have a number for each channel.

    Raises:
        OptionError: one has not; the message names it.
    """
    for option, values in given.items():
        if len(values) != channels:
            raise OptionError(
                f"The modality {plugin!r}: option {option!r} needs one number per channel "
                f"({channels}), not {values!r}."
            )
