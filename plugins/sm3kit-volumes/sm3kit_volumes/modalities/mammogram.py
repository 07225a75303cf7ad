"""Mammograms: one DICOM file per view of a breast."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
from torch import Tensor

from sm3kit.api import DataError, Image, Modality, ranges
from sm3kit.imaging import resizing
from sm3kit.imaging.layout import to_chw
from sm3kit_volumes import examples
from sm3kit_volumes.policy import Policy, square
from sm3kit_volumes.readers.dataset import apply_window
from sm3kit_volumes.readers.opening import DICOM, files_of, open_volume
from sm3kit_volumes.sampling import Sampling
from sm3kit_volumes.volume import Volume, Voxels

READING = 2  # Counts changes of `read` that would give other pixels for the same file.
SEARCHED = 256  # The longer side, in pixels, of the small copy in which the breast is found.


class Mammogram(Modality):
    """Mammograms, cropped to the breast, from 0 (black) to 1 (white); tissue is bright.

    A file that is stored inverted (MONOCHROME1) is inverted. Values have no unit, so the image's own
    darkest and brightest pixels become black and white; padding (PixelPaddingValue) does not count,
    and is black. The image is cropped to its largest bright region, the breast: air, which is half
    of most files, and markers beside the breast are cut off. Left-right flips are on, because a
    left breast is a right one in the mirror; blur is off, because calcifications are a few pixels
    wide.

    Args:
        image_size: height and width S of every view, in pixels.
        window: own (the image's darkest and brightest pixels become black and white) or header
            (the VOI lookup table of the file, or else its first window).
        clip: the share of the darkest and of the brightest pixels that become black and white, for
            window=own.
        field: pixels above this share of white may be breast; 0 keeps the whole image.
        views: number V of random views.
        crop_scale: least and largest share of the image's area in a crop.
        crop_ratio: least and largest width / height of a crop.
        rotate: the angle is drawn from -x to x degrees; corners are filled by reflection.
        flip: probability of a mirror image.
        gamma: values are raised to a power e^-x to e^x.
        noise: the deviation of Gaussian noise is drawn from 0 to x; white is 1.
        blur: probability of a Gaussian blur.
        blur_sigma: least and largest standard deviation of it, in pixels of a view.
        mean, std: of values from 0 to 1; round numbers, not measured on any data.
        reduce: scale large images down on reading, to twice what the smallest crop needs.
    """

    suffixes = DICOM
    channels = 1

    def __init__(
        self,
        image_size: int = 224,
        *,
        window: Literal["own", "header"] = "own",
        clip: Annotated[float, ranges.Range(least=0, below=0.5)] = 0.001,
        field: ranges.ShareBelowOne = 0.05,
        views: ranges.ViewCount = 2,
        crop_scale: ranges.CropScale = (0.5, 1.0),
        crop_ratio: ranges.CropRatio = (3 / 4, 4 / 3),
        rotate: ranges.Degrees = 15.0,
        flip: ranges.Share = 0.5,
        gamma: ranges.Amount = 0.2,
        noise: ranges.Amount = 0.02,
        blur: ranges.Share = 0.0,
        blur_sigma: ranges.Sigmas = (0.1, 1.0),
        mean: ranges.Mean = 0.3,
        std: ranges.Deviation = 0.25,
        reduce: bool = True,
    ) -> None:
        self.image_size = image_size
        self.window, self.clip, self.field, self.gamma = window, clip, field, gamma
        self.mean, self.std = mean, std
        self.sampling = Sampling(
            image_size, views, crop_scale, crop_ratio, rotate, flip, noise, blur, blur_sigma
        )
        self.longest = self.sampling.longest if reduce else 0
        self.policy = Policy("slice", "axial", self.channels, 1.0, "mean", 0)
        options = f"window={window} clip={clip} field={field}"
        self.reading = f"mammogram {READING}: {options} longest={self.longest}"

    @classmethod
    def example(cls, folder: Path) -> str:
        """A small drawn mammogram."""
        return examples.write_mammogram(folder / "mammogram.dicom", examples.breast(0, "L", "CC"))

    def files(self, path: str) -> list[str]:
        """The file."""
        return files_of(path)

    def read(self, path: str) -> Image:
        """The image (1, S, S), float32 from 0 to 1, with square pixels; black around it.

        Raises:
            DataError: the file cannot be read, all of its pixels have one value or are padding,
                or its header has no window for window=header.
        """
        volume, part = open_volume(path, math.nan)
        pixels, spacing = self.policy.taken(volume, part)
        measured = np.isfinite(pixels)
        grey = np.zeros(pixels.shape, np.float32)
        grey[measured] = self._shown(path, volume, pixels[measured])
        return to_chw(square(self._breast(grey), spacing, self.longest, 0.0))

    def views(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> list[Image]:
        """V random views (1, S, S); crop, turn and flip are drawn from `geometry` if given."""
        return self.sampling.draw(image, self._look, rng, geometry)

    def eval_view(self, image: Image) -> Image:
        """The whole image, (1, S, S)."""
        return self.sampling.whole(image, self._look)

    def normalise(self, views: Tensor) -> Tensor:
        """Float32 views (B, 1, S, S) less the mean, over the deviation."""
        return (views.float() - self.mean) / self.std

    def _shown(self, path: str, volume: Volume, values: Voxels) -> Voxels:
        """Values that were measured, from 0 (black) to 1 (white); tissue is bright."""
        if not values.size:
            raise DataError(f"{path} is empty: all of its pixels are padding. Leave its study out.")
        black, white = np.quantile(values, (self.clip, 1 - self.clip)).astype(np.float32)
        if black == white:
            raise DataError(
                f"{path} is empty: all of its pixels are {black:g}. Leave its study out."
            )
        if self.window == "header":
            grey = apply_window(volume, values)
        else:
            grey = np.clip((values - black) / (white - black), 0, 1)
        return 1 - grey if volume.inverted else grey

    def _breast(self, grey: Voxels) -> Voxels:
        """The rows and columns of the largest bright region; a marker is another, smaller one."""
        scale = max(1.0, max(grey.shape) / SEARCHED)
        height, width = (math.ceil(side / scale) for side in grey.shape[:2])
        small = resizing.fast(grey, height, width) if scale > 1 else grey
        bright = (small[..., 0] > self.field).astype(np.uint8)
        _, _, regions, _ = cv2.connectedComponentsWithStats(bright)
        if not self.field or len(regions) == 1:  # The first is what is dark.
            return grey
        left, top, across, down, _ = max(regions[1:].tolist(), key=lambda region: region[-1])
        rows, columns = grey.shape[0] / height, grey.shape[1] / width
        return grey[
            math.floor(top * rows) : math.ceil((top + down) * rows),
            math.floor(left * columns) : math.ceil((left + across) * columns),
        ]

    def _look(self, grey: Image, rng: np.random.Generator | None) -> Image:
        if rng is None:
            return grey
        power = np.float32(np.exp(rng.uniform(-self.gamma, self.gamma)))
        shown: Image = np.clip(grey, 0, 1) ** power
        return shown
