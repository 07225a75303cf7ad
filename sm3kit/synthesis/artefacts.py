"""What lies on skin or lens and tells nothing of the lesion: hair, bubbles, ruler, vignette.

Each changes a picture (3, S, S) of float32 RGB in place; places and widths are shares of the side.
"""

from __future__ import annotations

import cv2
import numpy as np

from sm3kit.synthesis.frame import Field, Frame
from sm3kit.synthesis.surface import blend

_BITS = 4


def hair(picture: Field, rng: np.random.Generator, count: int, length: float, width: float) -> None:
    """Dark bent hairs, all roughly in one direction."""
    if not count:
        return
    along = np.linspace(-0.5, 0.5, 10)
    way = rng.uniform(0, np.pi) + rng.normal(0, 0.35, count)
    bow = rng.normal(0, 0.5, count)[:, None] * (along**2 - 0.1)
    reach = length * rng.uniform(0.5, 1.3, (count, 1))
    cosine, sine = np.cos(way)[:, None], np.sin(way)[:, None]
    places = rng.uniform(0, 1, (count, 2, 1))
    x = places[:, 0] + reach * (cosine * along - sine * bow)
    y = places[:, 1] + reach * (sine * along + cosine * bow)
    sheet = Frame(picture.shape[1], (0.0, 0.0), 1.0, 0.0)
    cover = sheet.strokes(list(np.stack([x, y], -1)), width)
    blend(picture, cover * np.float32(0.75), (52.0, 38.0, 32.0))


def bubbles(picture: Field, rng: np.random.Generator) -> None:
    """Air in the gel: bright rings."""
    size = picture.shape[1]
    sheet = np.zeros((size, size), np.uint8)
    for _ in range(int(rng.integers(2, 7))):
        x, y = (int(place * size * (1 << _BITS)) for place in rng.uniform(0, 1, 2))
        radius = int(rng.uniform(0.015, 0.06) * size * (1 << _BITS))
        cv2.circle(sheet, (x, y), radius, 110, max(1, size // 100), cv2.LINE_AA, _BITS)
        cv2.circle(sheet, (x - radius // 3, y - radius // 3), radius // 4, 200, -1, cv2.LINE_AA, 4)
    blend(picture, sheet.astype(np.float32) / 255, (250.0, 250.0, 250.0))


def ruler(picture: Field, rng: np.random.Generator) -> None:
    """The dark millimetre marks of a dermatoscope along one border."""
    size = picture.shape[1]
    sheet = np.zeros((size, size), np.uint8)
    step = rng.uniform(0.055, 0.075)
    for number, place in enumerate(np.arange(0.04, 0.97, step)):
        long = 0.085 if number % 5 == 0 else 0.045
        start, end = (int(place * size), size - 1), (int(place * size), int(size * (1 - long)))
        cv2.line(sheet, start, end, 200, max(1, size // 110), cv2.LINE_AA)
    turned = np.rot90(sheet, int(rng.integers(4))).astype(np.float32) / 255
    blend(picture, turned, (20.0, 20.0, 24.0))


def vignette(picture: Field, rng: np.random.Generator) -> None:
    """The black surround of a round lens."""
    frame = Frame(picture.shape[1], (0.5, 0.5), 1.0, 0.0)
    x, y = frame.grid()
    edge = np.hypot(x, y) - np.float32(rng.uniform(0.52, 0.6))
    blend(picture, np.clip(edge / np.float32(0.025) + 0.5, 0, 1), (8.0, 7.0, 8.0))
