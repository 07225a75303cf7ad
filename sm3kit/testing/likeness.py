"""How alike two views are, whatever their colours."""

from __future__ import annotations

import numpy as np

from sm3kit.modalities.base import Image

WAVES = 12


def pattern(image: Image) -> Image:
    """Smooth waves in the shape, type and range of an image (C, H, W), equal in all channels.

    They keep to the middle of the range, so that brighter is not cut off. The range begins at zero
    where that is near, so that noise in proportion to the values, such as speckle, hides no wave.
    """
    height, width = image.shape[1:]
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    rng = np.random.default_rng(0)
    waves = np.zeros((height, width))
    for _ in range(WAVES):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        turns = rng.uniform(1, 4)
        waves += np.cos(2 * np.pi * turns * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    share = 0.25 + 0.35 * (waves - waves.min()) / np.ptp(waves)
    low, high = float(image.min()), float(image.max())
    if high <= low:
        low, high = (0.0, 255.0) if image.dtype == np.uint8 else (low, low + 1.0)
    if 0 < low < (high - low) / 2:
        low = 0.0
    values = (low + (high - low) * share).astype(image.dtype)
    return np.ascontiguousarray(np.broadcast_to(values, image.shape))


def likeness(first: Image, second: Image) -> float:
    """The correlation of two views (C, H, W), 0 to 1; a view of one colour is like any other.

    Blocks of pixels are compared, in which honest noise averages out.
    """
    flat = [_blocks(np.asarray(view, np.float64).mean(0)).ravel() for view in (first, second)]
    if min(part.std() for part in flat) < 1e-9:
        return 1.0
    return float(abs(np.corrcoef(flat[0], flat[1])[0, 1]))


def _blocks(plane: Image) -> Image:
    """The means of square blocks of a plane (H, W), at least eight along each side."""
    side = max(1, min(plane.shape) // 8)
    height, width = (length // side * side for length in plane.shape)
    cut = plane[:height, :width].reshape(height // side, side, width // side, side)
    means: Image = cut.mean(axis=(1, 3))
    return means


def share_apart(first: Image, second: Image, image: Image) -> float:
    """The share of values that differ by more than a hundredth of the range of the image.

    All do where the shape or the type differs.
    """
    if first.shape != second.shape or first.dtype != second.dtype:
        return 1.0
    wide = 255.0 if image.dtype == np.uint8 else float(np.ptp(image))
    return float((np.abs(first.astype(np.float64) - second) > wide / 100).mean())


def equal(first: list[Image], second: list[Image]) -> bool:
    """Whether two lists of views are the same."""
    return len(first) == len(second) and all(map(np.array_equal, first, second))
