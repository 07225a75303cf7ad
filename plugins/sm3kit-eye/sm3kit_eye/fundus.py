"""Colour photographs of the fundus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from sm3kit.api import Image, Modality, ranges
from sm3kit.imaging import colour, geometry
from sm3kit.imaging.layout import Pixels, one_thread, to_chw, to_hwc
from sm3kit_eye import drawing
from sm3kit_eye import views as shared
from sm3kit_eye.views import MEAN, READING, STD, Place


class Fundus(Modality):
    """Fundus photographs: cropped to the field of view, rotated, and with mild colour changes.

    Colour carries meaning here (blood, exudates, pigment): hue hardly changes, and nothing becomes
    grey. There is no up and down that a network should rely on, so views are flipped both ways.
    A red-free (grey) photograph is read as three equal channels. `geometry` decides crop, turn
    and flips.

    Args:
        image_size: height and width S of every view, in pixels.
        views: number V of random views.
        field: the brightest channel of a pixel in the field of view is above this share of the
            brightest pixel's; 0 keeps the whole picture, black margins and all.
        crop_scale: least and largest share of the image's area in a crop.
        crop_ratio: least and largest width / height of a crop.
        rotate: the angle is drawn from -x to x degrees; corners are filled by reflection.
        flip: probability of a left-right flip.
        vertical_flip: probability of a top-bottom flip.
        jitter: probability of the four colour changes.
        brightness, contrast, saturation: the factor is drawn from 1 - x to 1 + x, at least 0.
        hue: the shift is drawn from -x to x, as a share of the circle; 8-bit images only.
        mean, std: per channel, of values from 0 to 1; the default is ImageNet's.
        reduce: scale large images down on reading, to 1.5 times what the smallest crop needs.
    """

    channels = 3

    reads_members = True

    def __init__(
        self,
        image_size: int = 224,
        *,
        views: ranges.ViewCount = 2,
        field: ranges.ShareBelowOne = 0.1,
        crop_scale: ranges.CropScale = (0.5, 1.0),
        crop_ratio: ranges.CropRatio = (3 / 4, 4 / 3),
        rotate: ranges.Degrees = 30.0,
        flip: ranges.Share = 0.5,
        vertical_flip: ranges.Share = 0.5,
        jitter: ranges.Share = 0.8,
        brightness: ranges.Amount = 0.2,
        contrast: ranges.Amount = 0.2,
        saturation: ranges.Amount = 0.1,
        hue: ranges.Hue = 0.02,
        mean: ranges.Means = MEAN,
        std: ranges.Deviations = STD,
        reduce: bool = True,
    ) -> None:
        shared.check_channels("fundus", self.channels, mean=mean, std=std)
        self.image_size = image_size
        self.view_count = views
        self.field = field
        self.place = Place(image_size, crop_scale, crop_ratio, rotate, flip, vertical_flip)
        self.jitter = jitter
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        self.hue = hue
        self.mean, self.std = mean, std
        self.shorter_side = shared.enough(image_size, crop_scale, reduce)
        self.reading = f"fundus {READING}: field={field} shorter_side={self.shorter_side}"

    @classmethod
    def example(cls, folder: Path) -> str:
        """Draws a fundus with black margins into a folder and gives its path."""
        return drawing.save(drawing.fundus(np.random.default_rng(0)), folder / "fundus.png")

    def read(self, path: str) -> Image:
        """The image (3, H, W) of a file, without the margins round the field of view."""
        return shared.read(path, self.channels, self.shorter_side, self._field_of_view)

    def views(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> list[Image]:
        """V random views (3, S, S), same dtype."""
        one_thread()
        rng = np.random.default_rng() if rng is None else rng
        pixels, where = to_hwc(image), rng if geometry is None else geometry
        return [
            to_chw(self._coloured(self.place.draw(pixels, where), rng))
            for _ in range(self.view_count)
        ]

    def eval_view(self, image: Image) -> Image:
        """The whole field of view as (3, S, S)."""
        return shared.whole(image, self.image_size)

    def normalise(self, views: Tensor) -> Tensor:
        """Float32 views (B, 3, S, S) less the mean, over the deviation."""
        return shared.normalised(views, self.mean, self.std)

    def _field_of_view(self, pixels: Pixels) -> Pixels:
        """The rows and columns of which more than one pixel in fifty is bright."""
        brightest = pixels.max(axis=2)
        inside = brightest > self.field * brightest.max()
        rows, columns = (np.flatnonzero(inside.mean(axis) > 0.02) for axis in (1, 0))
        if not self.field or not len(rows) or not len(columns):
            return pixels
        top, left = int(rows[0]), int(columns[0])
        height, width = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
        return geometry.crop(pixels, geometry.Box(top, left, height, width))

    def _coloured(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() >= self.jitter:
            return pixels
        pixels = colour.brightness(pixels, _factor(self.brightness, rng))
        pixels = colour.contrast(pixels, _factor(self.contrast, rng))
        pixels = colour.saturation(pixels, _factor(self.saturation, rng))
        shift = rng.uniform(-self.hue, self.hue)
        return colour.hue(pixels, shift) if pixels.dtype == np.uint8 else pixels


def _factor(amount: float, rng: np.random.Generator) -> float:
    return rng.uniform(max(0.0, 1 - amount), 1 + amount)
