"""Mammograms: one DICOM file per view of a breast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from torch import Tensor

from sm3kit.api import DataError, Image, Modality, ranges
from sm3kit.imaging.layout import to_chw
from sm3kit_volumes import examples
from sm3kit_volumes.policy import Policy, square
from sm3kit_volumes.readers.opening import DICOM, files_of, open_volume
from sm3kit_volumes.sampling import Sampling
from sm3kit_volumes.volume import Voxels

READING = 1  # Counts changes of `read` that would give other pixels for the same file.
LEAST = 0.02  # Of the pixels of a row or column must be breast, or a marker would be one.


class Mammogram(Modality):
    """Mammograms, cropped to the breast, from 0 (black) to 1 (white); tissue is bright.

    A file that is stored inverted (MONOCHROME1) is inverted. Values have no unit, so the image's own
    darkest and brightest pixels become black and white. Air around the breast is
    cut off, which is half of most files. Left-right flips are on, because a left breast is a right
    one in the mirror; blur is off, because calcifications are a few pixels wide.

    Args:
        image_size: height and width S of every view, in pixels.
        clip: the share of the darkest and of the brightest pixels that become black and white.
        field: pixels above this share of white are breast; 0 keeps the whole image.
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
        self.clip, self.field, self.gamma = clip, field, gamma
        self.mean, self.std = mean, std
        self.sampling = Sampling(
            image_size, views, crop_scale, crop_ratio, rotate, flip, noise, blur, blur_sigma
        )
        self.longest = self.sampling.longest if reduce else 0
        self.policy = Policy("slice", "axial", self.channels, 1.0, "mean", 0)
        self.reading = f"mammogram {READING}: clip={clip} field={field} longest={self.longest}"

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
            DataError: the file cannot be read, or all of its pixels have one value.
        """
        volume, part = open_volume(path, 0.0)
        pixels, spacing = self.policy.taken(volume, part)
        black, white = np.quantile(pixels, (self.clip, 1 - self.clip)).astype(np.float32)
        if black == white:
            raise DataError(
                f"{path} is empty: all of its pixels are {black:g}. Leave its study out."
            )
        grey = np.clip((pixels - black) / (white - black), 0, 1)
        grey = self._breast(1 - grey if volume.inverted else grey)
        return to_chw(square(grey, spacing, self.longest, 0.0))

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

    def _breast(self, grey: Voxels) -> Voxels:
        """The rows and columns in which enough pixels are bright."""
        inside = grey[..., 0] > self.field
        rows, columns = (np.flatnonzero(inside.mean(axis) > LEAST) for axis in (1, 0))
        if not self.field or not len(rows) or not len(columns):
            return grey
        return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    def _look(self, grey: Image, rng: np.random.Generator | None) -> Image:
        if rng is None:
            return grey
        power = np.float32(np.exp(rng.uniform(-self.gamma, self.gamma)))
        shown: Image = np.clip(grey, 0, 1) ** power
        return shown
