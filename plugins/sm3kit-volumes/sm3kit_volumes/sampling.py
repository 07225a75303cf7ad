"""Random views that respect how scans are made: no colour, little turning, noise and blur."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sm3kit.api import Image
from sm3kit.imaging import geometry as shapes
from sm3kit.imaging import resizing
from sm3kit.imaging.colour import gaussian_blur
from sm3kit.imaging.layout import one_thread, to_chw, to_hwc

# Values (S, S, C) as they were read, and where their random changes come from; None changes nothing.
Look = Callable[[Image, np.random.Generator | None], Image]
SPARE = 2.0  # Of the size that the smallest crop needs: a second resize then costs less detail.
FRAME = 1 << 16  # Boxes are drawn on a frame of this side, so that they fit images of any size.


@dataclass(frozen=True)
class Sampling:
    """How views are drawn; the same words as options of every modality.

    Attributes:
        size: height and width S of a view, in pixels.
        views: number V of random views.
        crop_scale: least and largest share of the image's area in a crop.
        crop_ratio: least and largest width / height of a crop.
        rotate: the angle is drawn from -x to x degrees.
        flip: probability of a mirror image; the body is not the same in a mirror.
        noise: the deviation of Gaussian noise is drawn from 0 to x.
        blur: probability of a Gaussian blur.
        blur_sigma: least and largest standard deviation of it, in pixels of a view.
    """

    size: int
    views: int
    crop_scale: tuple[float, float]
    crop_ratio: tuple[float, float]
    rotate: float
    flip: float
    noise: float
    blur: float
    blur_sigma: tuple[float, float]

    @property
    def longest(self) -> int:
        """The side of an image, in pixels, that does for its smallest crop."""
        return resizing.enough_for(self.size, self.crop_scale[0], SPARE)

    def draw(
        self,
        image: Image,
        look: Look,
        rng: np.random.Generator | None,
        geometry: np.random.Generator | None,
    ) -> list[Image]:
        """V random views (C, S, S) of an image (C, H, W).

        Args:
            look: from the values that were read to those that a view shows, with random changes.
            rng: where all randomness comes from; None draws a fresh generator.
            geometry: where crop, turn and flip come from, if not from `rng`.
        """
        one_thread()
        rng = np.random.default_rng() if rng is None else rng
        places = rng if geometry is None else geometry
        pixels = to_hwc(image)
        return [to_chw(self._view(pixels, look, rng, places)) for _ in range(self.views)]

    def whole(self, image: Image, look: Look) -> Image:
        """The whole image as one view (C, S, S), without randomness."""
        return to_chw(look(resizing.fast(to_hwc(image), self.size, self.size), None))

    def _view(
        self, pixels: Image, look: Look, rng: np.random.Generator, places: np.random.Generator
    ) -> Image:
        pixels = self._placed(pixels, places)
        pixels = look(pixels, rng)
        if rng.random() < self.blur:
            sigma = rng.uniform(*self.blur_sigma)
            pixels = gaussian_blur(pixels, 2 * math.ceil(2 * sigma) + 1, sigma)
        deviation = rng.uniform(0, self.noise)
        noise = rng.standard_normal(pixels.shape, np.float32)
        noisy: Image = pixels + np.float32(deviation) * noise
        return noisy

    def _placed(self, pixels: Image, places: np.random.Generator) -> Image:
        """Cropped, turned, flipped; as many numbers are drawn whatever the options are."""
        box = shapes.draw_crop(FRAME, FRAME, self.crop_scale, self.crop_ratio, places)
        angle, mirror = places.uniform(-1, 1) * self.rotate, places.random() < self.flip
        pixels = shapes.crop(pixels, _scaled(box, *pixels.shape[:2]))
        pixels = resizing.fast(pixels, self.size, self.size)
        if angle:
            pixels = shapes.rotate(pixels, angle)
        return shapes.flip_horizontal(pixels) if mirror else pixels


def _scaled(box: shapes.Box, height: int, width: int) -> shapes.Box:
    """A box on the frame as whole pixels of an image; at least one."""
    top, left = round(box.top * height / FRAME), round(box.left * width / FRAME)
    top, left = min(top, height - 1), min(left, width - 1)
    bottom = round((box.top + box.height) * height / FRAME)
    right = round((box.left + box.width) * width / FRAME)
    return shapes.Box(top, left, max(1, bottom - top), max(1, right - left))
