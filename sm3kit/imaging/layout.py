"""How pixels lie in memory: images are (C, H, W) to the outside, (H, W, C) to OpenCV."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]


def to_hwc(image: Pixels) -> Pixels:
    """An image (C, H, W) as contiguous pixels (H, W, C); no copy if it came from `to_chw`."""
    return np.ascontiguousarray(np.moveaxis(image, 0, -1))


def to_chw(pixels: Pixels) -> Pixels:
    """Pixels (H, W, C) or (H, W) as an image (C, H, W), a view of the same memory."""
    return np.moveaxis(with_channels(pixels), -1, 0)


def with_channels(pixels: Pixels) -> Pixels:
    """Pixels (H, W, C); OpenCV drops the last axis of single-channel images."""
    return pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]


def by_fours(operation: Callable[[Pixels], Pixels], pixels: Pixels) -> Pixels:
    """An OpenCV operation on (H, W, C) for any C; many of them know four channels at most."""
    if pixels.shape[2] <= 4:
        return with_channels(operation(pixels))
    groups = [pixels[:, :, first : first + 4] for first in range(0, pixels.shape[2], 4)]
    return np.concatenate(
        [with_channels(operation(np.ascontiguousarray(group))) for group in groups], axis=2
    )


@functools.cache
def one_thread() -> None:
    """Keeps OpenCV to the calling thread, once per process.

    Its pool would compete with the loader's workers for the same cores, and a worker that is
    forked while the pool is busy hangs.
    """
    cv2.setNumThreads(0)
