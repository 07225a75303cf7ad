"""Positron emission tomography."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from sm3kit.api import DataError, Image, Modality, ranges
from sm3kit.imaging.layout import to_chw
from sm3kit_volumes import examples
from sm3kit_volumes.policy import Choice, Policy, Projection, square
from sm3kit_volumes.readers.opening import SUFFIXES, files_of, open_volume
from sm3kit_volumes.sampling import Sampling
from sm3kit_volumes.suv import suv_factor
from sm3kit_volumes.volume import Axis

READING = 3  # Counts changes of `read` that would give other pixels for the same file.
MOST_PLAUSIBLE = 100.0  # A mean SUV that no slice of a body has; Bq/ml are in the thousands.


class PET(Modality):
    """PET in standardised uptake values (SUV), from 0 to 1 by a clip or a logarithm.

    DICOM is converted by weight, dose and decay (see `sm3kit_volumes.suv`); the values of other
    formats are SUV already. Images are kept in SUV.

    Args:
        image_size: height and width S of every view, in pixels.
        scale: clip (0 to `upper` becomes 0 to 1) or log (log(1 + SUV) / log(1 + upper)).
        upper: the SUV that becomes 1.
        scale_jitter: SUV are multiplied by a factor 1 - x to 1 + x.
        gamma: values from 0 to 1 are raised to a power e^-x to e^x.
        policy: slice, mip (a projection along the axis) or stack (slices as channels).
        axis: axial, coronal or sagittal; what the slices are cut across.
        channels: number C of channels; none takes 3 for a stack, else 1.
        spacing: how far the slices of a stack are apart, in millimetres.
        projection: max or mean, for policy=mip.
        views: number V of random views.
        crop_scale: least and largest share of the image's area in a crop.
        crop_ratio: least and largest width / height of a crop.
        rotate: the angle is drawn from -x to x degrees; corners are filled by reflection.
        flip: probability of a mirror image; 0, because anatomy has a left and a right.
        noise: the deviation of Gaussian noise is drawn from 0 to x.
        blur: probability of a Gaussian blur.
        blur_sigma: least and largest standard deviation of it, in pixels of a view.
        mean, std: of values from 0 to 1; round numbers, not measured on any data.
        reduce: scale large images down on reading, to twice what the smallest crop needs.
    """

    suffixes = SUFFIXES

    def __init__(
        self,
        image_size: int = 224,
        *,
        scale: Literal["clip", "log"] = "clip",
        upper: ranges.Positive = 20.0,
        scale_jitter: ranges.ShareBelowOne = 0.1,
        gamma: ranges.Amount = 0.2,
        policy: Choice = "slice",
        axis: Axis = "axial",
        channels: ranges.ChannelsOrAuto = None,
        spacing: ranges.Positive = 5.0,
        projection: Projection = "max",
        views: ranges.ViewCount = 2,
        crop_scale: ranges.CropScale = (0.5, 1.0),
        crop_ratio: ranges.CropRatio = (3 / 4, 4 / 3),
        rotate: ranges.Degrees = 15.0,
        flip: ranges.Share = 0.0,
        noise: ranges.Amount = 0.01,
        blur: ranges.Share = 0.5,
        blur_sigma: ranges.Sigmas = (0.1, 1.0),
        mean: ranges.Mean = 0.1,
        std: ranges.Deviation = 0.15,
        reduce: bool = True,
    ) -> None:
        self.image_size = image_size
        self.channels = channels or (3 if policy == "stack" else 1)
        self.scale, self.upper = scale, upper
        self.scale_jitter, self.gamma = scale_jitter, gamma
        self.mean, self.std = mean, std
        self.sampling = Sampling(
            image_size, views, crop_scale, crop_ratio, rotate, flip, noise, blur, blur_sigma
        )
        longest = self.sampling.longest if reduce else 0
        self.policy = Policy(policy, axis, self.channels, spacing, projection, longest)
        self.reading = f"pet {READING}: {self.policy}"

    @classmethod
    def example(cls, folder: Path) -> str:
        """A small PET of a drawn body."""
        return examples.write_scan(folder / "pet.nii.gz", examples.uptake(0))

    def files(self, path: str) -> list[str]:
        """The scan, and all else that its voxels depend on."""
        return files_of(path)

    def read(self, path: str) -> Image:
        """The image (C, S, S) in SUV, float32, with square pixels; zeros around it.

        Raises:
            DataError: the scan cannot be read, or its values cannot be SUV.
        """
        volume, part = open_volume(path, 0.0)
        factor = suv_factor(path, volume.headers) if volume.headers else 1.0
        pixels, spacing = self.policy.taken(volume, part)
        pixels = pixels * np.float32(factor)
        _check_uptake(path, pixels)
        return to_chw(square(pixels, spacing, self.policy.longest, 0.0))

    def views(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> list[Image]:
        """V random views (C, S, S); crop, turn and flip are drawn from `geometry` if given."""
        return self.sampling.draw(image, self._look, rng, geometry)

    def eval_view(self, image: Image) -> Image:
        """The whole image from 0 to 1, (C, S, S)."""
        return self.sampling.whole(image, self._look)

    def normalise(self, views: Tensor) -> Tensor:
        """Float32 views (B, C, S, S) less the mean, over the deviation."""
        return (views.float() - self.mean) / self.std

    def _look(self, suv: Image, rng: np.random.Generator | None) -> Image:
        factor = 1 if rng is None else rng.uniform(1 - self.scale_jitter, 1 + self.scale_jitter)
        suv = np.maximum(suv * np.float32(factor), 0)  # Reconstructions go a little below 0.
        grey: Image
        if self.scale == "log":
            grey = np.log1p(suv) / np.log1p(np.float32(self.upper))
        else:
            grey = np.minimum(suv / np.float32(self.upper), 1)
        if rng is not None:
            grey = grey ** np.float32(np.exp(rng.uniform(-self.gamma, self.gamma)))
        return grey


def _check_uptake(path: str, image: Image) -> None:
    taken = image[image > 0]
    if taken.size and float(taken.mean()) > MOST_PLAUSIBLE:
        raise DataError(
            f"{path} cannot be SUV: the mean of its positive values is {float(taken.mean()):.0f}. "
            "Values in Bq/ml are converted from DICOM only; use a volume of SUV, or the DICOM "
            "series."
        )
