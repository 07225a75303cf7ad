"""Gaussian blur."""

from __future__ import annotations

import cv2

from sm3kit.imaging.layout import Pixels, by_fours


def gaussian_blur(pixels: Pixels, kernel: int, sigma: float) -> Pixels:
    """Blurred by a Gaussian, reflected at the edges, as torchvision's `gaussian_blur`.

    Args:
        kernel: its width in pixels, odd.
        sigma: its standard deviation in pixels, above 0.
    """
    return by_fours(lambda four: cv2.GaussianBlur(four, (kernel, kernel), sigma), pixels)
