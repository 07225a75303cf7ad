"""Where pixels go: crop, flip, turn."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from sm3kit.imaging.layout import Pixels, by_fours

# Left to right, top to bottom, and quarter turns before.
SYMMETRIES = (
    *((False, False, 0), (True, False, 0), (False, True, 0), (True, True, 0)),
    *((False, False, 1), (False, False, 3), (True, False, 1), (True, False, 3)),
)


class Box(NamedTuple):
    """A rectangle of whole pixels."""

    top: int
    left: int
    height: int
    width: int


def draw_crop(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> Box:
    """A random box inside an image, by the rule of torchvision's `RandomResizedCrop`.

    Ten draws of a share of the area and a log-uniform aspect ratio; if none fits, the largest
    centred box of an allowed ratio.

    Args:
        height, width: of the image, in pixels.
        scale: least and largest share of the area.
        ratio: least and largest width / height.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(low, high))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            return Box(int(top), int(left), h, w)
    w, h = width, height
    if width / height < ratio[0]:
        h = max(1, round(width / ratio[0]))
    elif width / height > ratio[1]:
        w = max(1, round(height * ratio[1]))
    return Box((height - h) // 2, (width - w) // 2, h, w)


def crop(pixels: Pixels, box: Box) -> Pixels:
    """The pixels inside a box, a view."""
    return pixels[box.top : box.top + box.height, box.left : box.left + box.width]


def cut_border(pixels: Pixels, border: int) -> Pixels:
    """The pixels without `border` of them on each side, a view."""
    height, width = pixels.shape[:2]
    return crop(pixels, Box(border, border, height - 2 * border, width - 2 * border))


def flip_horizontal(pixels: Pixels) -> Pixels:
    """Left becomes right."""
    return by_fours(lambda four: cv2.flip(four, 1), pixels)


def flip_vertical(pixels: Pixels) -> Pixels:
    """Top becomes bottom."""
    return by_fours(lambda four: cv2.flip(four, 0), pixels)


def symmetry(image: Pixels, number: int) -> Pixels:
    """A square image (C, S, S) under the symmetry of a number, a view; 8 is 0 again.

    0 to 7: as it is, flipped left to right, top to bottom, both ways, turned anticlockwise by 90
    and by 270 degrees, and these two flipped left to right.
    """
    flip_left, flip_top, turns = SYMMETRIES[number % len(SYMMETRIES)]
    image = np.rot90(image, turns, axes=(1, 2))
    image = image[:, ::-1] if flip_top else image
    return image[:, :, ::-1] if flip_left else image


def rotate(pixels: Pixels, degrees: float) -> Pixels:
    """Turned anticlockwise about the centre, same size; corners are filled by reflection."""
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return by_fours(
        lambda four: cv2.warpAffine(
            four, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        ),
        pixels,
    )
