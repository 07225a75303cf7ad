"""One random view: what is drawn for it, and the pixels that come of it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
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


def draw_jitter(
    amounts: Mapping[Change, float], rng: np.random.Generator, without: Container[Change] = ()
) -> Iterator[tuple[Change, float]]:
    """Changes of colour in random order, each with its random factor or shift.

    Args:
        amounts: {change: x}. A factor is drawn from 1 - x to 1 + x, at least 0; a shift of hue from
            -x to x. What has 0 is left out.
        rng: where all randomness comes from.
        without: left out as well.
    """
    for number in rng.permutation(len(Change)):
        change = Change(number)
        amount = 0.0 if change in without else amounts.get(change, 0.0)
        if amount and change is Change.HUE:
            yield change, rng.uniform(-amount, amount)
        elif amount:
            yield change, rng.uniform(max(0.0, 1 - amount), 1 + amount)
