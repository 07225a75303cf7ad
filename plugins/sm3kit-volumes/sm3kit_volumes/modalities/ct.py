"""Computed tomography."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from sm3kit.api import DataError, Image, Modality, ranges
from sm3kit.imaging.layout import to_chw
from sm3kit_volumes import examples
from sm3kit_volumes.policy import Choice, Policy, Projection, square
from sm3kit_volumes.readers.opening import SUFFIXES, files_of, open_volume
from sm3kit_volumes.sampling import Sampling
from sm3kit_volumes.volume import Axis
from sm3kit_volumes.windows import window as chosen_window

READING = 3  # Counts changes of `read` that would give other pixels for the same file.
AIR = -1000.0


class CT(Modality):
    """CT in Hounsfield units, seen through a window.

    Images are kept in HU; views show them through the window, 0 to 1.

    Args:
        image_size: height and width S of every view, in pixels.
        window: abdomen, bone, brain, liver, lung, mediastinum, radiograph, soft, stroke,
            subdural, temporal_bone, or CENTRE,WIDTH in HU; none takes soft, and radiograph for
            a mean along an axis, which air makes dark.
        window_jitter: the centre moves by -x to x widths, the width by a factor 1 - x to 1 + x.
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
        noise: the deviation of Gaussian noise is drawn from 0 to x, in widths of the window.
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
        window: str | tuple[float, float] | None = None,
        window_jitter: ranges.ShareBelowOne = 0.1,
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
        noise: ranges.Amount = 0.02,
        blur: ranges.Share = 0.5,
        blur_sigma: ranges.Sigmas = (0.1, 1.0),
        mean: ranges.Mean = 0.4,
        std: ranges.Deviation = 0.3,
        reduce: bool = True,
    ) -> None:
        self.image_size = image_size
        self.channels = channels or (3 if policy == "stack" else 1)
        mean_of_all = policy == "mip" and projection == "mean"
        self.window = chosen_window(window or ("radiograph" if mean_of_all else "soft"))
        self.window_jitter = window_jitter
        self.mean, self.std = mean, std
        self.sampling = Sampling(
            image_size, views, crop_scale, crop_ratio, rotate, flip, noise, blur, blur_sigma
        )
        longest = self.sampling.longest if reduce else 0
        self.policy = Policy(policy, axis, self.channels, spacing, projection, longest)
        self.reading = f"ct {READING}: {self.policy}"

    @classmethod
    def example(cls, folder: Path) -> str:
        """A small CT of a drawn body."""
        return examples.write_scan(folder / "ct.nii.gz", examples.hounsfield(0))

    def files(self, path: str) -> list[str]:
        """The scan, and all else that its voxels depend on."""
        return files_of(path)

    def read(self, path: str) -> Image:
        """The image (C, S, S) in HU, float32, with square pixels; air around it.

        Raises:
            DataError: the scan cannot be read, or its values cannot be HU.
        """
        volume, part = open_volume(path, AIR)
        pixels, spacing = self.policy.taken(volume, part)
        _check_hounsfield(path, pixels)
        return to_chw(square(pixels, spacing, self.policy.longest, AIR))

    def views(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> list[Image]:
        """V random views (C, S, S); crop, turn and flip are drawn from `geometry` if given."""
        return self.sampling.draw(image, self._look, rng, geometry)

    def eval_view(self, image: Image) -> Image:
        """The whole image through the window, (C, S, S)."""
        return self.sampling.whole(image, self._look)

    def normalise(self, views: Tensor) -> Tensor:
        """Float32 views (B, C, S, S) less the mean, over the deviation."""
        return (views.float() - self.mean) / self.std

    def _look(self, hounsfield: Image, rng: np.random.Generator | None) -> Image:
        window = self.window if rng is None else self.window.jittered(self.window_jitter, rng)
        return window.apply(hounsfield)


def _check_hounsfield(path: str, image: Image) -> None:
    low, high = float(image.min()), float(image.max())
    if low >= 0:
        kind = "as in a picture of 8 bits" if high <= 255 else "without any below 0"
        raise DataError(
            f"{path} is a CT that is not in HU: its values are {low:g} to {high:g}, {kind}, but "
            "air is -1000. Use the original, or read it as 'mr', which needs no unit."
        )
