"""Another size by the anti-aliased filters of Pillow: by Pillow itself, and faster by torch."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from sm3kit.imaging.layout import Pixels, by_fours


def pillow(pixels: Pixels, height: int, width: int) -> Pixels:
    """New pixels by Pillow's bilinear filter, bit for bit; float32 in its mode F."""
    if pixels.shape[2] == 3 and pixels.dtype == np.uint8:
        return _by_pillow(pixels, height, width)
    # Pillow would multiply four bands by the last one, and knows no others.
    channels = [_by_pillow(channel, height, width) for channel in np.moveaxis(pixels, 2, 0)]
    return np.stack(channels, axis=2)


def fast(pixels: Pixels, height: int, width: int) -> Pixels:
    """New pixels as by `pillow`: uint8 within one level, in a fraction of the time."""
    return by_fours(lambda four: _by_torch(four, height, width, "bilinear"), pixels)


def enough_for(size: int, smallest_share: float, spare: float = 1.5) -> int:
    """The shorter side of an image, in pixels, from which views of a size may be cut.

    Args:
        size: height and width of the views.
        smallest_share: of the area of the image, that a crop may have.
        spare: times the side that such a crop needs; resized twice, it then loses little detail.
    """
    return math.ceil(spare * size / math.sqrt(smallest_share))


def shrink(pixels: Pixels, shorter_side: int) -> Pixels:
    """The pixels scaled down to a shorter side; those that are not larger stay as they are.

    Bicubic, which leaves more of the fine detail than bilinear: pixels are resized once more
    for each view. Next to an edge, floats may go a little beyond the values that were there.
    """
    height, width = pixels.shape[:2]
    factor = shorter_side / min(height, width)
    if factor >= 1:
        return pixels
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    return by_fours(lambda four: _by_torch(four, height, width, "bicubic"), pixels)


def _by_pillow(pixels: Pixels, height: int, width: int) -> Pixels:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return np.array(picture.resize((width, height), Image.Resampling.BILINEAR))


def _by_torch(pixels: Pixels, height: int, width: int, mode: str) -> Pixels:
    # Without these strides for the batch of one, torch misses that the channels come last.
    batch = torch.from_numpy(np.require(pixels, requirements=("C", "W"))).unsqueeze(0)
    resized = F.interpolate(batch.permute(0, 3, 1, 2), (height, width), mode=mode, antialias=True)
    return np.ascontiguousarray(resized.squeeze(0).permute(1, 2, 0).numpy())
