"""Photographs: dermoscopic, clinical, or any other image of a few channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from sm3kit.core import ranges
from sm3kit.core.errors import DataError, OptionError
from sm3kit.imaging import geometry, resizing
from sm3kit.imaging.augmentation import Augmentation, Chances, Change, augment
from sm3kit.imaging.augmentation_batches import augment_batch, numbers_of
from sm3kit.imaging.colour import normalise
from sm3kit.imaging.layout import Pixels, one_thread, to_chw, to_hwc
from sm3kit.imaging.reading import UNIT, read_pixels
from sm3kit.modalities.base import Image, Modality, Numbers

MEAN, STD = (0.7833, 0.6712, 0.6026), (0.2139, 0.2472, 0.2571)
READING = 3  # Counts changes of `read` that would give other pixels for the same file.
RESIZE = {"fast": resizing.fast, "pillow": resizing.pillow}


class Photo(Modality):
    """Images from Pillow or .npy files, with the augmentation of the released SM3.

    Source: Wang et al. 2025, the transforms of the released code; the formulas of crop, jitter
    and blur are torchvision's.
    Differs from the release: a view is resized within one level (of 0 to 255) of Pillow's
    anti-aliased bilinear, which the release uses; `resize=pillow` uses Pillow itself. With
    `reduce`, a large image is scaled down once on reading (bicubic), for a smaller cache and
    faster views, which then lose 1 to 3 % of their finest detail. Hue changes in steps of 1/256.
    A float32 image keeps its range and its hue.

    Args:
        image_size: height and width S of every view, in pixels.
        channels: number C of channels; see `sm3kit.imaging.reading`. Saturation, hue and grayscale
            apply to three channels only.
        border: pixels to crop from each side of the image; the release crops 25 for Derm7pt.
        views: number V of random views.
        crop_scale: least and largest share of the image's area in a crop.
        crop_ratio: least and largest width / height of a crop.
        flip, vertical_flip: probability of a left-right flip, and of a top-bottom flip.
        jitter: probability of the four colour changes, which are applied in random order.
        brightness, contrast, saturation: the factor is drawn from 1 - x to 1 + x, at least 0.
        hue: the shift is drawn from -x to x, as a share of the circle, at most 0.5.
        grayscale: probability of a conversion to grey.
        blur: probability of a Gaussian blur.
        blur_kernel: its width in pixels, odd.
        blur_sigma: least and largest standard deviation, in pixels.
        rotate: the angle is drawn from -x to x degrees; corners are filled by reflection.
        mean, std: per channel, for values from 0 to 1, the range of float images as well. Numbers
            that such values cannot have (a mean below 0 or above 1, a deviation above 0.5) mean
            that float images have another range. The default is averaged unless there are three
            channels; one number applies to all.
        reduce: scale large images down on reading, to 1.5 times what the smallest crop needs.
        local_views: number of local views, small crops that come beside the V global ones in stage 1,
            for objectives that take them. The papers of SwAV and DINO have 6 to 8, and global crops
            from 0.14 of the area on (`crop_scale=0.14,1`).
        local_size: height and width of the local views, in pixels.
        local_scale: least and largest share of the image's area in a local view.
        resize: `fast`, or `pillow` for exactly the pixels of the release, which takes several
            times as long and needs `reduce=false`.
    """

    rotatable, in_batches, reads_members = True, True, True

    def __init__(
        self,
        image_size: int = 224,
        *,
        channels: ranges.Channels = 3,
        border: ranges.Border = 0,
        views: ranges.ViewCount = 2,
        crop_scale: ranges.CropScale = (0.5, 1.0),
        crop_ratio: ranges.CropRatio = (3 / 4, 4 / 3),
        flip: ranges.Share = 0.5,
        jitter: ranges.Share = 0.8,
        brightness: ranges.Amount = 0.8,
        contrast: ranges.Amount = 0.8,
        saturation: ranges.Amount = 0.8,
        hue: ranges.Hue = 0.2,
        grayscale: ranges.Share = 0.2,
        blur: ranges.Share = 0.5,
        blur_kernel: ranges.OddKernel = 3,
        blur_sigma: ranges.Sigmas = (0.1, 2.0),
        rotate: ranges.Degrees = 0.0,
        vertical_flip: ranges.Share = 0.0,
        mean: ranges.Means = MEAN,
        std: ranges.Deviations = STD,
        reduce: bool = True,
        resize: Literal["fast", "pillow"] = "fast",
        local_views: ranges.ViewCountOrZero = 0,
        local_size: ranges.ImageSize = 96,
        local_scale: ranges.CropScale = (0.05, 0.14),
    ) -> None:
        self.image_size, self.channels, self.border = image_size, channels, border
        self.view_count, self.resize = views, resize
        self.local_views, self.local_size, self.local_scale = local_views, local_size, local_scale
        self.blur_kernel = blur_kernel
        amounts = {Change.BRIGHTNESS: brightness, Change.CONTRAST: contrast}
        of_colours = {Change.SATURATION: saturation, Change.HUE: hue}
        amounts |= of_colours if channels == 3 else {}
        where, colours = (rotate, flip, vertical_flip), (jitter, amounts, grayscale)
        self.chances = Chances(crop_scale, crop_ratio, *where, *colours, blur, blur_sigma)
        self.local_chances = replace(self.chances, crop_scale=local_scale)
        self.mean = _per_channel("mean", mean, MEAN, channels)
        self.std = _per_channel("std", std, STD, channels)
        if reduce and resize == "pillow":
            raise OptionError(
                "The modality 'photo': resize=pillow needs images at their full size, not reduced "
                "on reading. Add -o photo.reduce=false, or choose -o photo.resize=fast."
            )
        if local_views and local_size > image_size:
            raise OptionError(
                f"The modality 'photo': local views of local_size={local_size} are to be smaller than "
                f"the others, {image_size} pixels. Give -o photo.local_size={max(8, image_size * 3 // 7)}, "
                "or another."
            )
        sizes = {image_size: crop_scale} | ({local_size: local_scale} if local_views else {})
        enough = [resizing.enough_for(size, scale[0]) for size, scale in sizes.items()]
        self.shorter_side = max(enough) if reduce else 0
        self.span = UNIT if _are_of_unit(self.mean, self.std) else None
        self.reading = (
            f"photo {READING}: channels={channels} border={border} shorter_side={self.shorter_side}"
            f" span={self.span}"
        )
        self.notes = [] if channels == 3 else _notes(saturation, hue, grayscale, channels)

    @classmethod
    def example(cls, folder: Path) -> str:
        """A small picture in which every place has a colour of its own."""
        y, x = np.mgrid[0:64, 0:64].astype(np.uint8) * 3
        np.save(folder / "picture.npy", np.stack([y, x, 255 - y]))
        return str(folder / "picture.npy")

    def read(self, path: str) -> Image:
        """The image (C, H, W) of a file, in channels-last memory; border cut, scaled down.

        Raises:
            DataError: the file is missing, damaged, smaller than its border, has another
                number of channels, or float values out of their range.
        """
        # The border counts in pixels of the file, so that one is not decoded at a smaller size.
        enough = 0 if self.border else self.shorter_side
        pixels = read_pixels(path, self.channels, enough, span=self.span, owner="photo")
        height, width = pixels.shape[:2]
        if min(height, width) <= 2 * self.border:
            raise DataError(
                f"The image {path} has {width} x {height} pixels, and nothing is left of it "
                f"without a border of {self.border}. Choose a smaller -o photo.border=..."
            )
        pixels = geometry.cut_border(pixels, self.border)
        if self.shorter_side:
            pixels = resizing.shrink(pixels, self.shorter_side)
        return to_chw(np.ascontiguousarray(pixels))

    def views(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> list[Image]:
        """V random views (C, S, S), then the local ones, same dtype, in channels-last memory."""
        one_thread()
        pixels, resize = to_hwc(image), RESIZE[self.resize]
        return [
            to_chw(augment(pixels, drawn, self.blur_kernel, resize))
            for drawn in self._draws(image, rng, geometry)
        ]

    def draw_views(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> Numbers:
        """All that is random in `views` of an image, (V, P); see the contract."""
        rows = [numbers_of(drawn) for drawn in self._draws(image, rng, geometry)]
        return np.array(rows, dtype=np.float32)

    def apply_views(self, images: Sequence[Tensor], drawn: Tensor) -> list[Tensor]:
        """Views [(B, C, S, S)] * V in channels-last memory, always resized as `fast` does."""
        return [augment_batch(images, own, self.blur_kernel) for own in drawn.unbind(dim=1)]

    def eval_view(self, image: Image) -> Image:
        """The whole image as (C, S, S); its aspect ratio is not kept, as in the release."""
        return to_chw(self._resize(to_hwc(image)))

    def test_view(self, image: Image, number: int) -> Image:
        """The evaluation view under one of the eight symmetries of a square.

        As it is, flipped left to right, top to bottom, both, rotated by 90 and by 270 degrees, these
        two flipped; the first six are those of FusionM4Net.
        """
        return geometry.symmetry(self.eval_view(image), number)

    def normalise(self, views: Tensor) -> Tensor:
        """Float32 views (B, C, S, S) less the mean, over the deviation; memory format kept."""
        return normalise(views, self.mean, self.std)

    def _draws(
        self,
        image: Image,
        rng: np.random.Generator | None,
        geometry: np.random.Generator | None,
    ) -> list[Augmentation]:
        """What is random in each view of an image (C, H, W)."""
        rng = np.random.default_rng() if rng is None else rng
        where = rng if geometry is None else geometry
        # Local views come last: they change nothing in what is drawn for the others.
        kinds = [(self.chances, self.image_size)] * self.view_count
        kinds += [(self.local_chances, self.local_size)] * self.local_views
        return [chances.draw(image, size, rng, where) for chances, size in kinds]

    def _resize(self, pixels: Pixels) -> Pixels:
        return RESIZE[self.resize](pixels, self.image_size, self.image_size)


def _notes(saturation: float, hue: float, grayscale: float, channels: int) -> list[str]:
    """What a number of channels other than three leaves out."""
    words = {"saturation": saturation, "hue": hue, "grayscale": grayscale}
    idle = [word for word, amount in words.items() if amount]
    left_out = f"photo: {', '.join(idle)} left out, which need 3 channels, not {channels}"
    return [left_out] if idle else []


def _are_of_unit(mean: tuple[float, ...], std: tuple[float, ...]) -> bool:
    """Whether values from 0 to 1 can have such means and deviations."""
    return all(0 <= m <= 1 for m in mean) and all(s <= 0.5 for s in std)


def _per_channel(
    option: str, values: tuple[float, ...], default: tuple[float, ...], channels: int
) -> tuple[float, ...]:
    if len(values) == channels:
        return values
    if len(values) == 1 or values == default:
        return (sum(values) / len(values),) * channels
    raise OptionError(
        f"The modality 'photo': option {option!r} needs {channels} numbers, one per channel, or "
        f"one for all, not {values}."
    )
