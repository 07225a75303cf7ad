"""The contract of modalities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

Image = npt.NDArray[Any]


class Modality:
    """Says how one kind of image is read, normalised and turned into views.

    Built as `Modality(image_size, **options)`.

    Attributes:
        channels: number C of channels.
        image_size: height and width S of every view, in pixels.
        reading: all that influences `read`, as text; images are cached under it.
        notes: what a user should know of the choices that were made, a line each.
    """

    channels: int
    image_size: int
    reading: str
    notes: Sequence[str] = ()

    def read(self, path: str) -> Image:
        """The image of a file, (C, H, W), uint8 or float32.

        Raises:
            DataError: the file is missing, damaged, or has another number of channels.
        """
        raise NotImplementedError

    def views(self, image: Image, rng: np.random.Generator | None = None) -> list[Image]:
        """V random views (C, S, S) of an image (C, H, W), same dtype; the image stays as it is.

        Args:
            rng: where all randomness comes from; None draws a fresh generator.
        """
        raise NotImplementedError

    def eval_view(self, image: Image) -> Image:
        """The one view (C, S, S) that evaluation uses, without randomness."""
        raise NotImplementedError

    def normalise(self, views: Tensor) -> Tensor:
        """Float32 views (B, C, S, S) as the backbone wants them, from stacked raw views."""
        raise NotImplementedError
