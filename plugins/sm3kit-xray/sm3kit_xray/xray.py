"""Radiographs: one grey channel, upright, with neither colour nor mirror."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import PIL.Image
from torch import Tensor

from sm3kit.api import DataError, Image, Modality, ranges, regular_file
from sm3kit.imaging import resizing
from sm3kit.imaging.augmentation import Augmentation, Chances, Change, augment
from sm3kit.imaging.augmentation_batches import augment_batch, numbers_of
from sm3kit.imaging.colour import normalise
from sm3kit.imaging.layout import Pixels, one_thread, to_chw, to_hwc
from sm3kit.imaging.reading import read_pixels
from sm3kit_xray import drawing

READING = 1  # Counts changes of `read` that would give other pixels for the same file.
# timm adds up the ImageNet weights of the three channels, so their mean and deviation are averaged.
MEAN, STD = 0.449, 0.226
BLUR_KERNEL = 5
WHOLE_NUMBERS = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes of more than 8 bits.


class Xray(Modality):
    """Radiographs as grey images, with augmentation that leaves the findings where they are.

    There is no hue, saturation or greyscale, as there is one channel, and no vertical flip: nobody is
    X-rayed upside down. Left-right flips are off: the heart and the marker have a side. Blur is
    off, and crops keep most of the image, as both may remove a small nodule or a thin line of
    pneumothorax, and with it the label. Brightness and contrast vary as exposure does.

    Source: Sowrirajan et al. 2021, "MoCo-CXR", https://arxiv.org/abs/2010.05352, Section 3.1 (turns
    by up to 10 degrees; neither blur nor colours); Zhang et al. 2022, "ConVIRT",
    https://arxiv.org/abs/2010.00747, Appendix A (crops of 0.6 to 1, brightness and contrast of
    0.6 to 1.4).
    Differs from the papers: MoCo-CXR does not crop; both flip left-right, and ConVIRT blurs.

    Files are JPEG, PNG, TIFF and whatever else Pillow reads, or .npy arrays. 8 bits stay as they
    are; values of more bits are spread over 256 levels, from the image's own darkest to its
    brightest. Convert DICOM files to PNG files of 8 or 16 bits first.

    Args:
        image_size: height and width S of every view, in pixels.
        views: number V of random views.
        crop_scale: least and largest share of the image's area in a crop.
        crop_ratio: least and largest width / height of a crop.
        rotate: the angle is drawn from -x to x degrees; corners are filled by reflection.
        flip: probability of a left-right flip.
        jitter: probability of a change of brightness and contrast.
        brightness, contrast: the factor is drawn from 1 - x to 1 + x, at least 0.
        blur: probability of a Gaussian blur.
        blur_sigma: least and largest standard deviation of it, in pixels of a view.
        mean, std: of values from 0 to 1; the default is ImageNet's, averaged over its channels.
        clip: of images of more than 8 bits, the share of the darkest and of the brightest pixels
            that become black and white.
        reduce: scale large images down on reading, to 1.5 times what the smallest crop needs.
    """

    channels, in_batches = 1, True

    def __init__(
        self,
        image_size: int = 224,
        *,
        views: ranges.ViewCount = 2,
        crop_scale: ranges.CropScale = (0.6, 1.0),
        crop_ratio: ranges.CropRatio = (3 / 4, 4 / 3),
        rotate: ranges.Degrees = 10.0,
        flip: ranges.Share = 0.0,
        jitter: ranges.Share = 0.8,
        brightness: ranges.Amount = 0.4,
        contrast: ranges.Amount = 0.4,
        blur: ranges.Share = 0.0,
        blur_sigma: ranges.Sigmas = (0.1, 1.0),
        mean: ranges.Mean = MEAN,
        std: ranges.Deviation = STD,
        clip: Annotated[float, ranges.Range(least=0, below=0.5)] = 0.001,
        reduce: bool = True,
    ) -> None:
        self.image_size, self.view_count = image_size, views
        self.chances = Chances(
            crop_scale,
            crop_ratio,
            rotate,
            flip,
            vertical_flip=0.0,
            jitter=jitter,
            amounts={Change.BRIGHTNESS: brightness, Change.CONTRAST: contrast},
            grayscale=0.0,
            blur=blur,
            blur_sigma=blur_sigma,
        )
        self.mean, self.std, self.clip = mean, std, clip
        self.shorter_side = resizing.enough_for(image_size, crop_scale[0]) if reduce else 0
        self.reading = f"xray {READING}: clip={clip} shorter_side={self.shorter_side}"

    @classmethod
    def example(cls, folder: Path) -> str:
        """Draws a frontal chest into a folder and gives its path."""
        picture = drawing.chest(np.random.default_rng(0), ["Cardiomegaly"])
        return drawing.save(picture, folder / "chest.jpg")

    def read(self, path: str) -> Image:
        """The image (1, H, W) of a file, uint8, or float32 from a .npy file of floats.

        Raises:
            DataError: the file is missing, damaged, or no grey image.
        """
        pixels = self._deep(path) if _is_deep(path) else None
        if pixels is None:
            pixels = read_pixels(path, self.channels, self.shorter_side)
        if self.shorter_side:
            pixels = resizing.shrink(pixels, self.shorter_side)
        return to_chw(np.ascontiguousarray(pixels))

    def views(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> list[Image]:
        """V random views (1, S, S), same dtype; crop, turn and flip are drawn from `geometry` if given."""
        one_thread()
        pixels = to_hwc(image)
        drawn = self._draws(image, rng, geometry)
        return [to_chw(augment(pixels, one, BLUR_KERNEL, resizing.fast)) for one in drawn]

    def draw_views(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> npt.NDArray[np.float32]:
        """All that is random in `views` of an image, (V, P)."""
        rows = [numbers_of(drawn) for drawn in self._draws(image, rng, geometry)]
        return np.array(rows, dtype=np.float32)

    def apply_views(self, images: Sequence[Tensor], drawn: Tensor) -> list[Tensor]:
        """Views [(B, 1, S, S)] * V of B images, from what `draw_views` gave for each."""
        return [augment_batch(images, own, BLUR_KERNEL) for own in drawn.unbind(dim=1)]

    def eval_view(self, image: Image) -> Image:
        """The whole image as (1, S, S); its aspect ratio is not kept."""
        return to_chw(resizing.fast(to_hwc(image), self.image_size, self.image_size))

    def normalise(self, views: Tensor) -> Tensor:
        """Float32 views (B, 1, S, S) less the mean, over the deviation."""
        return normalise(views, (self.mean,), (self.std,))

    def _draws(
        self,
        image: Image,
        rng: np.random.Generator | None,
        geometry: np.random.Generator | None,
    ) -> list[Augmentation]:
        rng = np.random.default_rng() if rng is None else rng
        where = rng if geometry is None else geometry
        size = self.image_size
        return [self.chances.draw(image, size, rng, where) for _ in range(self.view_count)]

    def _deep(self, path: str) -> Pixels:
        """The pixels (H, W, 1) of a grey image of more than 8 bits, spread over 256 levels."""
        try:
            with PIL.Image.open(path) as picture:
                values = np.asarray(picture).astype(np.float32)
        except Exception as error:  # Decoders raise nearly anything on a damaged file.
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise DataError(
                f"Cannot read the image {path}: {reason}. Copy it again from its source, or leave "
                "its study out."
            ) from error
        black, white = np.quantile(values, (self.clip, 1 - self.clip))
        levels = np.clip((values - black) / max(white - black, 1), 0, 1) * 255
        spread: Pixels = np.rint(levels).astype(np.uint8)[..., np.newaxis]
        return spread


def _is_deep(path: str) -> bool:
    """Whether a file is a picture of whole numbers of more than 8 bits; false if it is damaged."""
    if path.lower().endswith(".npy"):
        return False
    with suppress(Exception), PIL.Image.open(regular_file(path)) as picture:
        return picture.mode in WHOLE_NUMBERS
    return False
