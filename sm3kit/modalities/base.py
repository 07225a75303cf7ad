"""The contract of modalities."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sm3kit.core.files import file_and_part
from sm3kit.core.members import as_file

Image = npt.NDArray[Any]
Numbers = npt.NDArray[np.float32]
QUARTERS = 4  # Turns by 90 degrees, the one by none included.


def read_image(path: str, modality: Modality) -> Image:
    """The image of a path as `modality.read` gives it, also where it lies in a tar file.

    A modality need not know of tar files: of a member it reads a temporary copy, unless it
    `reads_members`.

    Raises:
        DataError: as `modality.read`, or the tar file is damaged.
    """
    with as_file(path, copied=not modality.reads_members) as file:
        return modality.read(file)


class Modality:
    """Says how one kind of image is read, normalised and turned into views.

    Built as `Modality(image_size, **options)`.

    Attributes:
        channels: number C of channels.
        image_size: height and width S of every view, in pixels.
        reading: all that influences `read`, as text; images are cached under it.
        backbone: `provider/model` for this kind of image where the user names none for it; empty
            takes the one of all modalities.
        suffixes: endings, in lower case (`.dcm`), of the files that it reads and Pillow does not;
            a modality that cannot read such a file then names this one.
        reads_members: whether `read` takes members of tar files as they are, as all does that reads
            with `sm3kit.imaging.reading`; others get a temporary copy, which takes longer.
        fitted: options that the data set fitted to its training split, {option: value}, plain
            lists and numbers. A run keeps them, so that other or edited data are read as in its
            training.
        notes: what a user should know of the choices that were made, a line each.
        local_views: how many of its views, the last ones, are local: small parts of the image, in
            the size `local_size`; the ones before are global, and the same ones whatever this is.
            `views` reads it anew each time, as most of a run wants none, see `without_local`.
        local_size: height and width of the local views, in pixels.
        rotatable: whether an image may be rotated by 90 degrees and still be one of its kind, as
            it has no fixed orientation; such images have square views.
        in_batches: whether the views of many images can be made at once, on a GPU, too, by
            `draw_views` and `apply_views`. A subclass that changes `views` or `rotations` alone has
            none in batches.
    """

    channels: int
    image_size: int
    reading: str
    backbone: str = ""
    suffixes: Sequence[str] = ()
    fitted: Mapping[str, Any] = MappingProxyType({})
    notes: Sequence[str] = ()
    local_views: int = 0
    local_size: int = 0
    rotatable: bool = False
    in_batches: bool = False
    reads_members: bool = False

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        own = vars(cls)
        changed = [name for name in ("views", "rotations") if name in own]
        if "in_batches" not in own and any(f"apply_{name}" not in own for name in changed):
            cls.in_batches = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of every view: (C, S, S), unless the modality says otherwise."""
        return self.channels, self.image_size, self.image_size

    @property
    def local_shape(self) -> tuple[int, int, int]:
        """The shape of every local view."""
        return self.channels, self.local_size, self.local_size

    def without_local(self) -> Modality:
        """The same modality, which gives the global views alone."""
        plain = copy.copy(self)
        plain.local_views = 0
        return plain

    def global_views(self, views: Sequence[Any]) -> list[Any]:
        """The views of an image, or what was made of them, without the local ones."""
        return list(views[: len(views) - self.local_views])

    @classmethod
    def example(cls, folder: Path) -> str:
        """Writes a small example into a folder and gives its path; the laws are tried on it."""
        raise NotImplementedError

    def files(self, path: str) -> Sequence[str]:
        """The files and folders that the image of a path is made of; the caches watch them all."""
        return (file_and_part(path)[0],)

    def read(self, path: str) -> Image:
        """The image of a file, (C, H, W), uint8 or float32.

        Args:
            path: as the data set names it: a file or a folder, or a part of one after `#`
                (`ct.nii.gz#slice=12`), which `sm3kit.api.file_and_part` takes apart.

        Raises:
            DataError: the file is missing, damaged, or has another number of channels.
        """
        raise NotImplementedError

    def views(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> list[Image]:
        """V random views of `shape` from an image (C, H, W), same dtype, and the local ones.

        The image stays as it is.

        Args:
            rng: where all randomness comes from; None draws a fresh generator.
            geometry: where crops, flips and turns come from, if not from `rng`: registered
                modalities of a study get the same state here. A modality that cannot be paired
                leaves this argument out.
        """
        raise NotImplementedError

    def rotations(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> list[Image]:
        """Four random views, rotated by 0, 90, 180 and 270 degrees, if it is `rotatable`.

        They are global `views`, each with augmentation of its own, which are rotated last: a crop that
        is drawn anywhere, with sides as likely wide as high, is the same crop of a rotated image.

        Args:
            image: (C, H, W); it stays as it is.
            rng, geometry: as for `views`.
        """
        rng = np.random.default_rng() if rng is None else rng
        arguments = () if geometry is None else (geometry,)
        upright: list[Image] = []
        while len(upright) < QUARTERS:
            upright += self.without_local().views(image, rng, *arguments)
        # Rotated (H, W, C), so that the memory of a view is in the same order as before.
        return [
            np.ascontiguousarray(np.rot90(view.transpose(1, 2, 0), quarter)).transpose(2, 0, 1)
            for quarter, view in enumerate(upright[:QUARTERS])
        ]

    def draw_views(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> Numbers:
        """All that is random in `views` of an image, float32 numbers (V, P), in the same order.

        The generators are left as `views` leaves them. A modality that is not `in_batches` has none.

        Args:
            image, rng, geometry: as for `views`.
        """
        raise NotImplementedError

    def apply_views(self, images: Sequence[Tensor], drawn: Tensor) -> list[Tensor]:
        """Views [(B, C, S, S)] * V of B images as `views` makes them, up to rounding.

        Nothing in it is random, and nothing waits for the device.

        Args:
            images: (C, H, W) each, of one type and device, which views have as well; they stay as
                they are.
            drawn: (B, V, P) float32 on the host, what `draw_views` gave for each image. V is any
                number from 1 on.
        """
        raise NotImplementedError

    def draw_rotations(
        self,
        image: Image,
        rng: np.random.Generator | None = None,
        geometry: np.random.Generator | None = None,
    ) -> Numbers:
        """All that is random in `rotations` of an image, (4, P), as `draw_views`."""
        rng = np.random.default_rng() if rng is None else rng
        arguments = () if geometry is None else (geometry,)
        rows: list[Numbers] = []
        while len(rows) < QUARTERS:
            rows += list(self.without_local().draw_views(image, rng, *arguments))
        return np.stack(rows[:QUARTERS])

    def apply_rotations(self, images: Sequence[Tensor], drawn: Tensor) -> list[Tensor]:
        """Views [(B, C, S, S)] * 4 as `rotations` makes them, up to rounding; as `apply_views`."""
        upright = self.apply_views(images, drawn)
        return [torch.rot90(view, quarter, (2, 3)) for quarter, view in enumerate(upright)]

    def eval_view(self, image: Image) -> Image:
        """The one view of `shape` that evaluation uses, without randomness."""
        raise NotImplementedError

    def test_view(self, image: Image, number: int) -> Image:
        """The evaluation view, for numbers above 0 as a symmetry shows it: flipped, rotated.

        Decisions may be a mean over several such views. A modality without symmetries has the
        evaluation view alone; so has this method, until a modality replaces it. Modalities of
        one geometry need the same symmetries in the same order.

        Args:
            image: (C, H, W).
            number: 0 or more; with S symmetries, S shows the same as 0.
        """
        return self.eval_view(image)

    def normalise(self, views: Tensor) -> Tensor:
        """Float32 views (B, C, S, S) as the backbone wants them, from stacked raw views."""
        raise NotImplementedError
