"""One random view: what is drawn for it, and the pixels that come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from sm3kit.imaging import colour, geometry
from sm3kit.imaging.geometry import Box
from sm3kit.imaging.layout import Pixels


class Change(IntEnum):
    """A change of colour, and its number where it is drawn by number."""

    BRIGHTNESS = 0
    CONTRAST = 1
    SATURATION = 2
    HUE = 3


CHANGES: dict[Change, Callable[[Pixels, float], Pixels]] = {
    Change.BRIGHTNESS: colour.brightness,
    Change.CONTRAST: colour.contrast,
    Change.SATURATION: colour.saturation,
    Change.HUE: colour.hue,
}


class Augmentation(NamedTuple):
    """All that is random in one view.

    Attributes:
        box: the crop, in pixels of the image.
        side: height and width S of the view.
        degrees: the turn, anticlockwise; 0 is none.
        flip, vertical_flip: whether left becomes right, and top bottom, after the turn.
        changes: of colour, in order, each with its factor or shift; see `sm3kit.imaging.colour`.
        sigma: the standard deviation of the blur, in pixels; 0 is none.
    """

    box: Box
    side: int
    degrees: float = 0.0
    flip: bool = False
    vertical_flip: bool = False
    changes: tuple[tuple[Change, float], ...] = ()
    sigma: float = 0.0


@dataclass(frozen=True)
class Chances:
    """What the random views of an image are drawn from.

    Attributes:
        crop_scale: least and largest share of the image's area in a crop.
        crop_ratio: least and largest width / height of a crop.
        rotate: degrees are drawn from -x to x.
        flip, vertical_flip: how probable each is.
        jitter: how probable changes of colour are, in random order.
        amounts: {change: x} of a jitter. A factor is drawn from 1 - x to 1 + x, at least 0; a shift
            of hue from -x to x. What has 0 is left out, and so is the hue of float values.
        grayscale: how probable the grey of RGB is.
        blur: how probable a blur is.
        blur_sigma: least and largest standard deviation, in pixels.
    """

    crop_scale: tuple[float, float]
    crop_ratio: tuple[float, float]
    rotate: float
    flip: float
    vertical_flip: float
    jitter: float
    amounts: Mapping[Change, float]
    grayscale: float
    blur: float
    blur_sigma: tuple[float, float]

    def draw(
        self, image: Pixels, side: int, rng: np.random.Generator, where: np.random.Generator
    ) -> Augmentation:
        """What is random in one view.

        Args:
            image: (C, H, W).
            side: height and width S of the view.
            rng: where colours and blur come from.
            where: where crop, turn and flips come from.
        """
        height, width = image.shape[1:]
        box = geometry.draw_crop(height, width, self.crop_scale, self.crop_ratio, where)
        degrees = where.uniform(-self.rotate, self.rotate) if self.rotate else 0.0
        flip = where.random() < self.flip
        vertical_flip = where.random() < self.vertical_flip
        changes: list[tuple[Change, float]] = []
        if rng.random() < self.jitter:
            changes += self._draw_jitter(rng, floats=image.dtype != np.uint8)
        if len(image) == 3 and rng.random() < self.grayscale:
            changes.append((Change.SATURATION, 0.0))
        sigma = rng.uniform(*self.blur_sigma) if rng.random() < self.blur else 0.0
        return Augmentation(box, side, degrees, flip, vertical_flip, tuple(changes), sigma)

    def _draw_jitter(
        self, rng: np.random.Generator, *, floats: bool
    ) -> Iterator[tuple[Change, float]]:
        for number in rng.permutation(len(Change)):
            change = Change(number)
            amount = self.amounts.get(change, 0.0)
            if amount and change is not Change.HUE:
                yield change, rng.uniform(max(0.0, 1 - amount), 1 + amount)
            elif amount and not floats:
                yield change, rng.uniform(-amount, amount)


def augment(
    pixels: Pixels,
    drawn: Augmentation,
    kernel: int,
    resize: Callable[[Pixels, int, int], Pixels],
) -> Pixels:
    """The view (S, S, C) of pixels (H, W, C); the crop comes first, so that less is left to do.

    Args:
        pixels: uint8 or float32; they stay as they are.
        drawn: what is random in it.
        kernel: width of the blur in pixels, odd.
        resize: pixels, height, width -> other pixels.
    """
    pixels = resize(geometry.crop(pixels, drawn.box), drawn.side, drawn.side)
    if drawn.degrees:
        pixels = geometry.rotate(pixels, drawn.degrees)
    if drawn.flip:
        pixels = geometry.flip_horizontal(pixels)
    if drawn.vertical_flip:
        pixels = geometry.flip_vertical(pixels)
    for change, amount in drawn.changes:
        pixels = CHANGES[change](pixels, amount)
    if drawn.sigma:
        pixels = colour.gaussian_blur(pixels, kernel, drawn.sigma)
    return pixels
