"""The pose of a lesion in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[Any]  # Float32, a value per pixel.
Points = npt.NDArray[Any]  # Float64 coordinates.

_BITS = 4  # Binary places of the coordinates that cv2 draws at.


@dataclass(frozen=True)
class Frame:
    """A square picture and where a lesion lies in it.

    Lesion coordinates have their origin in the lesion's centre and its mean radius as unit.

    Attributes:
        size: side S of the picture, in pixels.
        centre: of the lesion, in shares of the side.
        radius: of the lesion, in shares of the side.
        turn: rotation, in radians.
        squeeze: foreshortening along one axis of the lesion, 1 is none.
    """

    size: int
    centre: tuple[float, float]
    radius: float
    turn: float
    squeeze: float = 1.0

    @property
    def matrix(self) -> Points:
        """From lesion coordinates to pixels, without the shift; (2, 2)."""
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        return self.size * self.radius * rotation @ np.diag([1.0, self.squeeze])

    def grid(self) -> tuple[Field, Field]:
        """Lesion coordinates x and y of every pixel, each (S, S)."""
        inverse = np.linalg.inv(self.matrix).astype(np.float32)
        steps = np.arange(self.size, dtype=np.float32) + 0.5
        across = (steps - self.centre[0] * self.size)[None, :]
        down = (steps - self.centre[1] * self.size)[:, None]
        x, y = (inverse[row, 0] * across + inverse[row, 1] * down for row in range(2))
        return x, y

    def strokes(self, lines: Sequence[Points], width: float) -> Field:
        """Cover, 0 to 1, of lines of (N, 2) lesion coordinates; (S, S).

        Args:
            width: in lesion radii; a line thinner than a pixel gets fainter instead.
        """
        pixels = width * self.size * self.radius
        ink = int(255 * np.clip(pixels, 0.15, 1))
        sheet = np.zeros((self.size, self.size), np.uint8)
        paths = [self._fixed_point(line) for line in lines]
        cv2.polylines(sheet, paths, False, ink, max(1, round(pixels)), cv2.LINE_AA, _BITS)
        return sheet.astype(np.float32) / 255

    def discs(self, places: Points, radii: Points) -> Field:
        """Cover, 0 to 1, of discs at (N, 2) lesion coordinates with (N,) radii; (S, S)."""
        sheet = np.zeros((self.size, self.size), np.uint8)
        pixels = radii * self.size * self.radius
        inks = (255 * np.clip(pixels / 0.7, 0.1, 1)).astype(int).tolist()
        fixed = (np.maximum(pixels, 0.5) * (1 << _BITS)).astype(int).tolist()
        for place, radius, ink in zip(self._fixed_point(places).tolist(), fixed, inks, strict=True):
            cv2.circle(sheet, place, radius, ink, -1, cv2.LINE_AA, _BITS)
        return sheet.astype(np.float32) / 255

    def _fixed_point(self, points: Points) -> npt.NDArray[np.int32]:
        pixels: Points = points @ self.matrix.T + np.array(self.centre) * self.size - 0.5
        fixed: npt.NDArray[np.int32] = np.rint(pixels * (1 << _BITS)).astype(np.int32)
        return fixed
