"""A lesion over the pixels of a picture: its depth below the border, clouds and patches."""

from __future__ import annotations

import cv2
import numpy as np

from sm3kit.synthesis.frame import Field, Frame
from sm3kit.synthesis.lesion import Lesion

_STEPS = 720  # Of the border around the circle.
_REACH = 4.0  # Clouds repeat beyond this many radii.


class Surface:
    """Fields over the pixels of a frame.

    Args:
        lesion: what is seen.
        frame: its pose.
        bend: how far the skin is warped, in lesion radii; 0 keeps it plane.

    Attributes:
        x, y: lesion coordinates, (S, S).
        depth: distance inside the border in lesion radii, negative outside, (S, S).
        rho: distance from the centre as a share of the border's, (S, S).
    """

    def __init__(self, lesion: Lesion, frame: Frame, bend: float = 0.0) -> None:
        self.lesion, self.frame = lesion, frame
        x, y = frame.grid()
        if bend:
            self.x, self.y = x, y
            rng = lesion.stream("bend")
            x, y = x + bend * self.cloud(rng, 1.2), y + bend * self.cloud(rng, 1.2)
        self.x, self.y = x, y
        distance, angle = cv2.cartToPolar(x, y)
        place = (angle * (_STEPS / (2 * np.pi))).astype(np.int32) % _STEPS
        border = outline(lesion, np.arange(_STEPS) * (2 * np.pi / _STEPS)).astype(np.float32)[place]
        self.depth: Field = border - distance
        self.rho: Field = distance / border

    def inside(self, soft: float) -> Field:
        """1 inside the lesion, 0 outside, with a rim that is `soft` radii wide; (S, S)."""
        return np.clip(self.depth / np.float32(soft) + np.float32(0.5), 0, 1)

    def cloud(self, rng: np.random.Generator, detail: float) -> Field:
        """A smooth random field of about -1 to 1, fixed to the lesion; (S, S).

        Args:
            detail: waves per lesion radius.
        """
        cells = int(2 * _REACH * detail) + 3
        coarse = rng.uniform(-1.3, 1.3, (cells, cells)).astype(np.float32)
        scale, shift = np.float32(detail), np.float32(_REACH * detail + 1)
        across, down = self.x * scale + shift, self.y * scale + shift
        field: Field = cv2.remap(
            coarse, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        return field

    def patch(
        self, rng: np.random.Generator, away: float, radius: float, soft: float, ragged: float = 0.3
    ) -> Field:
        """An area within the lesion with a soft uneven border, 0 to 1; (S, S).

        Args:
            away: distance from the lesion's centre, in a random direction, in radii.
            radius: of the area, in lesion radii.
            soft: width of its border, in lesion radii.
            ragged: how uneven its border is, in lesion radii.
        """
        angle = rng.uniform(0, 2 * np.pi)
        distance = np.hypot(
            self.x - np.float32(away * np.cos(angle)), self.y - np.float32(away * np.sin(angle))
        )
        edge = np.float32(radius) + np.float32(ragged) * self.cloud(rng, 2.0) - distance
        cover: Field = np.clip(edge / np.float32(soft) + np.float32(0.5), 0, 1)
        return cover * self.inside(0.1)


def outline(lesion: Lesion, angles: np.ndarray) -> np.ndarray:
    """The border's distance from the centre, in lesion radii, at angles in radians."""
    distance = np.ones_like(angles)
    for wave, (amplitude, phase) in enumerate(lesion.outline, start=1):
        distance += amplitude * np.cos(wave * angles - phase)
    return distance


def blend(picture: Field, cover: Field, colour: tuple[float, float, float]) -> None:
    """Lays a colour over a picture (3, S, S) where `cover` (S, S) is not 0, in place."""
    picture += cover * (np.array(colour, np.float32)[:, None, None] - picture)
