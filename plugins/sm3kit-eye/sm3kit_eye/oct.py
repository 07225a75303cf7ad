"""B-scans of optical coherence tomography (OCT)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from sm3kit.api import Image, Modality, ranges
from sm3kit.imaging.geometry import Box
from sm3kit.imaging.layout import Pixels, one_thread, to_chw, to_hwc
from sm3kit_eye import drawing
from sm3kit_eye import views as shared
from sm3kit_eye.views import MEAN, READING, STD, Place

GREY_MEAN, GREY_STD = (sum(MEAN) / 3,), (sum(STD) / 3,)


class Oct(Modality):
    """OCT B-scans: one grey channel; crops keep the retina, noise is speckle.

    The retina lies across the picture as a bright band, layer above layer: views are flipped
    left-right only and rotated a little, and a crop is moved up or down until the band is in it;
    a crop that is lower than the band is moved into the band. Gain and gamma imitate the settings
    of the device, and multiplicative noise imitates speckle. `geometry` decides crop, turn and
    flip; crops then stay where they were drawn, as those of the images registered with it do.

    Args:
        image_size: height and width S of every view, in pixels.
        views: number V of random views.
        crop_scale: least and largest share of the image's area in a crop.
        crop_ratio: least and largest width / height of a crop.
        rotate: the angle is drawn from -x to x degrees; corners are filled by reflection.
        flip: probability of a left-right flip, which turns a right eye into a left one.
        jitter: probability of a change of gain and gamma, and of speckle.
        brightness: the gain is drawn from 1 - x to 1 + x, at least 0.
        gamma: the exponent is drawn from 1 - x to 1 / (1 - x), evenly on a logarithmic scale.
        speckle: the deviation of the noise, as a share of each pixel's value, is drawn from 0 to x.
        mean, std: of values from 0 to 1; the default is ImageNet's, averaged over its channels.
        reduce: scale large images down on reading, to 1.5 times what the smallest crop needs.
    """

    channels = 1

    reads_members = True

    def __init__(
        self,
        image_size: int = 224,
        *,
        views: ranges.ViewCount = 2,
        crop_scale: ranges.CropScale = (0.5, 1.0),
        crop_ratio: ranges.CropRatio = (3 / 4, 4 / 3),
        rotate: ranges.Degrees = 10.0,
        flip: ranges.Share = 0.5,
        jitter: ranges.Share = 0.8,
        brightness: ranges.Amount = 0.3,
        gamma: ranges.ShareBelowOne = 0.3,
        speckle: ranges.Amount = 0.1,
        mean: ranges.Means = GREY_MEAN,
        std: ranges.Deviations = GREY_STD,
        reduce: bool = True,
    ) -> None:
        shared.check_channels("oct", self.channels, mean=mean, std=std)
        self.image_size = image_size
        self.view_count = views
        self.place = Place(image_size, crop_scale, crop_ratio, rotate, flip)
        self.jitter = jitter
        self.brightness, self.gamma, self.speckle = brightness, gamma, speckle
        self.mean, self.std = mean, std
        self.shorter_side = shared.enough(image_size, crop_scale, reduce)
        self.reading = f"oct {READING}: shorter_side={self.shorter_side}"

    @classmethod
    def example(cls, folder: Path) -> str:
        """Draws a B-scan into a folder and gives its path."""
        return drawing.save(drawing.oct(np.random.default_rng(0)), folder / "oct.png")

    def read(self, path: str) -> Image:
        """The B-scan (1, H, W) of a file."""
        return shared.read(path, self.channels, self.shorter_side)

    def views(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> list[Image]:
        """V random views (1, S, S), same dtype."""
        one_thread()
        rng = np.random.default_rng() if rng is None else rng
        pixels = to_hwc(image)
        height = len(pixels)
        top, bottom = retina(pixels)

        def moved(box: Box) -> Box:
            low, high = sorted((top, bottom - box.height))
            near = min(max(box.top, low), high)
            return box._replace(top=min(max(near, 0), height - box.height))

        drawn = [
            self.place.draw(pixels, rng, moved)
            if geometry is None
            else self.place.draw(pixels, geometry)
            for _ in range(self.view_count)
        ]
        return [to_chw(self._measured(view, rng)) for view in drawn]

    def eval_view(self, image: Image) -> Image:
        """The whole B-scan as (1, S, S)."""
        return shared.whole(image, self.image_size)

    def normalise(self, views: Tensor) -> Tensor:
        """Float32 views (B, 1, S, S) less the mean, over the deviation."""
        return shared.normalised(views, self.mean, self.std)

    def _measured(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """As another device would give it; values below 0 become 0."""
        if rng.random() >= self.jitter:
            return pixels
        unit = 255.0 if pixels.dtype == np.uint8 else 1.0
        reach = np.log(1 / (1 - self.gamma))
        values = np.maximum(pixels / unit, 0) ** np.exp(rng.uniform(-reach, reach))
        values *= rng.uniform(max(0.0, 1 - self.brightness), 1 + self.brightness)
        values *= 1 + rng.uniform(0, self.speckle) * rng.standard_normal(values.shape)
        # Bytes end at black and at white; floats at black alone, as their white is not known.
        values = np.clip(values * unit, 0, 255 if unit > 1 else None)
        measured: Pixels = values.astype(pixels.dtype)
        return measured


def retina(pixels: Pixels) -> tuple[int, int]:
    """The rows (first, one past the last) between which 90 % of the light above background lies.

    The darkest quarter of the rows is background, and a row counts by how much brighter it is.
    All rows are taken if none is brighter.
    """
    rows = pixels.mean(axis=(1, 2))
    light = np.cumsum(np.maximum(rows - np.quantile(rows, 0.25), 0))
    if light[-1] <= 0:
        return 0, len(rows)
    first, last = np.searchsorted(light, (0.05 * light[-1], 0.95 * light[-1]))
    return int(first), int(last) + 1
