"""What pixels look like: brightness, contrast, saturation, hue, grey, blur; their normalisation.

The formulas and factors are torchvision's. uint8 results are rounded and kept in 0..255
(torchvision cuts the decimals off); float32 results are not limited.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from sm3kit.imaging.layout import Pixels, by_fours

GREY = np.array([0.2989, 0.587, 0.114])  # ITU-R BT.601, with torchvision's digits.


def brightness(pixels: Pixels, factor: float) -> Pixels:
    """Times a factor >= 0; 0 is black."""
    return _scale(pixels, factor, 0.0)


def contrast(pixels: Pixels, factor: float) -> Pixels:
    """Away from the mean grey by a factor >= 0; 0 is plain grey.

    The mean is that of the grey image for three channels, of all values otherwise.
    """
    if pixels.shape[2] == 3:
        mean = float(np.dot(GREY, cv2.mean(pixels)[:3]))
    else:
        mean = cv2.mean(_flat(pixels))[0]
    return _scale(pixels, factor, (1 - factor) * mean)


def saturation(pixels: Pixels, factor: float) -> Pixels:
    """Away from each RGB pixel's own grey by a factor >= 0; 0 is the grey image."""
    mix = factor * np.eye(3) + (1 - factor) * np.tile(GREY, (3, 1))
    mixed: Pixels = cv2.transform(pixels, mix)
    return mixed


def grayscale(pixels: Pixels) -> Pixels:
    """The grey of each RGB pixel, in all three channels."""
    return saturation(pixels, 0.0)


def hue(pixels: Pixels, shift: float) -> Pixels:
    """RGB uint8 pixels with their hue turned by a share of the circle, -0.5 to 0.5.

    In steps of 1/256 of the circle.
    """
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(shift * 256) % 256)  # Wraps round, as hue does.
    turned: Pixels = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
    return turned


def _scale(pixels: Pixels, factor: float, offset: float) -> Pixels:
    flat = _flat(pixels)
    # The second term is zero: of OpenCV's functions this one keeps 0..255 and takes an offset.
    scaled: Pixels = cv2.addWeighted(flat, factor, flat, 0.0, offset)
    return scaled.reshape(pixels.shape)


def _flat(pixels: Pixels) -> Pixels:
    """(H, W * C): OpenCV's arithmetic is then free of its limit of four channels."""
    return pixels.reshape(pixels.shape[0], -1)


def gaussian_blur(pixels: Pixels, kernel: int, sigma: float) -> Pixels:
    """Blurred by a Gaussian, reflected at the edges, as torchvision's `gaussian_blur`.

    Args:
        kernel: its width in pixels, odd.
        sigma: its standard deviation in pixels, above 0.
    """
    return by_fours(lambda four: cv2.GaussianBlur(four, (kernel, kernel), sigma), pixels)


def normalise(views: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Float32 views (B, C, S, S) less the mean, over the deviation; memory format kept.

    Args:
        views: uint8 from 0 to 255, or float from 0 to 1; they stay as they are.
        mean, std: of each of the C channels, for values from 0 to 1.
    """
    unit = 1.0 if views.is_floating_point() else 255.0
    numbers = [
        [1 / (unit * deviation) for deviation in std],
        [m / s for m, s in zip(mean, std, strict=True)],
    ]
    # Nobody waits for a GPU.
    scale, shift = torch.tensor(numbers).to(views.device, non_blocking=views.is_cuda)
    normal = views.to(torch.float32, copy=True)
    if normal.is_contiguous(memory_format=torch.channels_last):
        # Whole rows at once: three times as fast on a CPU as three values at a time.
        width = normal.shape[3]
        rows = normal.permute(0, 2, 3, 1).flatten(2)  # (B, S, S * C), the same memory
        rows.mul_(scale.repeat(width)).sub_(shift.repeat(width))
        return normal
    return normal.mul_(scale.view(1, -1, 1, 1)).sub_(shift.view(1, -1, 1, 1))
