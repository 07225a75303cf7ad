"""Magnetic resonance imaging."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from sm3kit.api import DataError, Image, Modality, ranges
from sm3kit.imaging.layout import to_chw
from sm3kit_volumes import examples
from sm3kit_volumes.field import bias_field
from sm3kit_volumes.policy import Choice, Policy, Projection, square
from sm3kit_volumes.readers.opening import SUFFIXES, files_of, open_volume
from sm3kit_volumes.sampling import Sampling
from sm3kit_volumes.volume import Axis

READING = 3  # Counts changes of `read` that would give other pixels for the same file.


class MR(Modality):
    """MR, whose values have no unit: a z-score inside a mask of the foreground.

    An image (a slice, a stack or a projection) has mean 0 and deviation 1 inside its mask, and
    is kept so. An image that is stored inverted (MONOCHROME1) is inverted.

    Args:
        image_size: height and width S of every view, in pixels.
        mask: the foreground; mean takes what is brighter than the mean of the image, nonzero
            what is not 0 (for scans without a skull or background).
        bias: coefficients of the random bias field are drawn from -x to x.
        gamma: values, as a share of the range of a view, are raised to a power e^-x to e^x.
        policy: slice, mip (a projection along the axis) or stack (slices as channels).
        axis: axial, coronal or sagittal; what the slices are cut across.
        channels: number C of channels; none takes 3 for a stack, else 1.
        spacing: how far the slices of a stack are apart, in millimetres.
        projection: mean or max, for policy=mip.
        views: number V of random views.
        crop_scale: least and largest share of the image's area in a crop.
        crop_ratio: least and largest width / height of a crop.
        rotate: the angle is drawn from -x to x degrees; corners are filled by reflection.
        flip: probability of a mirror image; 0, because anatomy has a left and a right.
        noise: the deviation of Gaussian noise is drawn from 0 to x, in deviations of the tissue.
        blur: probability of a Gaussian blur.
        blur_sigma: least and largest standard deviation of it, in pixels of a view.
        reduce: scale large images down on reading, to twice what the smallest crop needs.
    """

    suffixes = SUFFIXES

    def __init__(
        self,
        image_size: int = 224,
        *,
        mask: Literal["mean", "nonzero"] = "mean",
        bias: ranges.Amount = 0.1,
        gamma: ranges.Amount = 0.2,
        policy: Choice = "slice",
        axis: Axis = "axial",
        channels: ranges.ChannelsOrAuto = None,
        spacing: ranges.Positive = 5.0,
        projection: Projection = "mean",
        views: ranges.ViewCount = 2,
        crop_scale: ranges.CropScale = (0.5, 1.0),
        crop_ratio: ranges.CropRatio = (3 / 4, 4 / 3),
        rotate: ranges.Degrees = 15.0,
        flip: ranges.Share = 0.0,
        noise: ranges.Amount = 0.1,
        blur: ranges.Share = 0.5,
        blur_sigma: ranges.Sigmas = (0.1, 1.0),
        reduce: bool = True,
    ) -> None:
        self.image_size = image_size
        self.channels = channels or (3 if policy == "stack" else 1)
        self.mask, self.bias, self.gamma = mask, bias, gamma
        self.sampling = Sampling(
            image_size, views, crop_scale, crop_ratio, rotate, flip, noise, blur, blur_sigma
        )
        longest = self.sampling.longest if reduce else 0
        self.policy = Policy(policy, axis, self.channels, spacing, projection, longest)
        self.reading = f"mr {READING}: mask={mask} {self.policy}"

    @classmethod
    def example(cls, folder: Path) -> str:
        """A small MR of a drawn body."""
        return examples.write_scan(folder / "mr.nii.gz", examples.signal(0))

    def files(self, path: str) -> list[str]:
        """The scan, and all else that its voxels depend on."""
        return files_of(path)

    def read(self, path: str) -> Image:
        """The z-scores (C, S, S), float32, with square pixels; background around them.

        Raises:
            DataError: the scan cannot be read, or the image is empty.
        """
        volume, part = open_volume(path, 0.0)
        pixels, spacing = self.policy.taken(volume, part)
        if volume.inverted:
            pixels = -pixels
        scores = self._standard(path, pixels)
        return to_chw(square(scores, spacing, self.policy.longest, float(scores.min())))

    def views(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> list[Image]:
        """V random views (C, S, S); crop, turn and flip are drawn from `geometry` if given."""
        return self.sampling.draw(image, self._look, rng, geometry)

    def eval_view(self, image: Image) -> Image:
        """The whole image, (C, S, S)."""
        return self.sampling.whole(image, self._look)

    def normalise(self, views: Tensor) -> Tensor:
        """The views (B, C, S, S) as float32; they are z-scores already."""
        return views.float()

    def _standard(self, path: str, image: Image) -> Image:
        tissue = image[image > image.mean() if self.mask == "mean" else image != 0]
        deviation = float(tissue.std(dtype=np.float64)) if tissue.size else 0.0
        if deviation == 0:
            raise DataError(
                f"{path} is empty: all of its foreground has one value. Choose another slice "
                "(#slice=30%), or leave its study out."
            )
        mean = tissue.mean(dtype=np.float64)
        scores: Image = ((image - mean) / deviation).astype(np.float32)
        return scores

    def _look(self, image: Image, rng: np.random.Generator | None) -> Image:
        if rng is None:
            return image
        low = image.min()
        light: Image = image - low
        light = light * bias_field(light.shape[0], self.bias, rng)
        high = max(float(light.max()), 1e-6)
        power = np.float32(np.exp(rng.uniform(-self.gamma, self.gamma)))
        light = (light / np.float32(high)) ** power * np.float32(high)
        shown: Image = light + low
        return shown
