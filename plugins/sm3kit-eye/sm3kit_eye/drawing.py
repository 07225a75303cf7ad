"""Small drawn pictures for the examples: they show a layout and what may be seen, no real eye."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.uint8]


def fundus(rng: np.random.Generator, sick: bool = False, size: int = 64) -> Picture:
    """A fundus (S, 4/3 S, 3) with black margins; a sick one has yellow spots."""
    row, column = np.mgrid[:size, : size * 4 // 3]
    row, column = row - size / 2, column - size * 2 / 3
    inside = np.hypot(row, column) < 0.45 * size
    light = np.where(inside, rng.uniform(0.7, 1) * np.exp(-((row**2 + column**2) / size**2)), 0)
    picture = light[..., None] * np.array([210, 100, 45])
    spots = [(rng.uniform(-0.1, 0.1) * size, 0.25 * size, 0.08 * size)]  # The optic disc.
    if sick:
        spots += [(*rng.uniform(-0.2, 0.2, 2) * size, 0.04 * size) for _ in range(6)]
    for down, right, radius in spots:
        picture[np.hypot(row - down, column - right) < radius] = (250, 220, 130)
    picture = np.where(inside[..., None], picture + rng.normal(0, 4, picture.shape), 0)
    return _to_bytes(picture)


def oct(rng: np.random.Generator, sick: bool = False, size: int = 64) -> Picture:
    """A B-scan (1.5 S, S): a bright band in speckle; a sick one has a dark hole in it."""
    row, column = np.mgrid[: size * 3 // 2, :size]
    curve = size * (0.7 + 0.08 * np.sin(column / size * np.pi + rng.uniform(0, 3)))
    picture = 20 + 190 * np.exp(-(((row - curve) / (0.12 * size)) ** 2))
    if sick:
        hole = np.hypot(row - curve, column - rng.uniform(0.3, 0.7) * size) < 0.1 * size
        picture[hole] = 15
    return _to_bytes(picture * rng.gamma(20, 1 / 20, picture.shape))


def save(picture: Picture, path: Path) -> str:
    """Writes a picture, with the folders above it, and gives its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return str(path)


def _to_bytes(picture: npt.NDArray[np.float64]) -> Picture:
    rounded: Picture = picture.clip(0, 255).astype(np.uint8)
    return rounded
