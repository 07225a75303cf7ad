"""NIfTI and MGH files, by nibabel; only the planes that are asked for are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sm3kit.api import DataError
from sm3kit_volumes.libraries import library
from sm3kit_volumes.parts import Part
from sm3kit_volumes.volume import Volume, Voxels, damaged

SUFFIXES = (".nii", ".nii.gz", ".mgh", ".mgz")
PACKED = (".gz", ".mgz")
GZIP = b"\x1f\x8b"  # The first bytes of a file that is packed.


def open_nifti(path: Path, part: Part, outside: float) -> Volume:
    """The volume of a file; a plane of a .gz is decompressed up to it and no further.

    Raises:
        DataError: the file is damaged, holds colours, or several volumes and no `#time=`.
    """
    nibabel = library("nibabel", "NIfTI files")
    _check_packing(path)
    try:
        # Open between blocks: a .gz would be decompressed from its start for each of them.
        image = nibabel.load(path, keep_file_open=True)
        shape, dtype = tuple(image.shape), image.get_data_dtype()
    except Exception as error:  # nibabel raises many kinds on what is not NIfTI.
        raise damaged(path, error) from error
    if dtype.kind not in "iuf":
        raise DataError(f"{path} holds {dtype} and not one number per voxel. Save a grey volume.")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 4:
        raise DataError(
            f"{path} has shape {shape}, {len(shape)} axes, but an image is made of one volume "
            "(x, y, z). Save one volume alone."
        )
    if len(shape) == 4 and not part.time.isdecimal():
        raise DataError(
            f"{path} has shape {shape}: {shape[-1]} volumes, but an image is made of one. "
            f"Choose one in the path, {path.name}#time=0, or save it alone."
        )
    time = int(part.time) if len(shape) == 4 else 0
    if len(shape) == 4 and time >= shape[3]:
        raise DataError(
            f"{path}#time={time}: there are only {shape[3]} volumes, 0 to {shape[3] - 1}."
        )
    rest = (time,) * (image.ndim > 3) + (0,) * (image.ndim - 4)

    def block(first: int, last: int) -> Voxels:
        if image.ndim == 2:
            return np.asarray(image.dataobj)[:, :, np.newaxis]
        return np.asarray(image.dataobj[(slice(None), slice(None), slice(first, last), *rest)])

    i, j, k = (*shape, 1)[:3]
    return Volume(str(path), (i, j, k), np.asarray(image.affine, np.float64), block, outside)


def _check_packing(path: Path) -> None:
    """Refuses a file that is packed by its name and not by its content, or the other way round."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
    except OSError as error:
        raise damaged(path, error) from error
    name = path.name.lower()
    if packed and not name.endswith(PACKED):
        raise DataError(
            f"Cannot read {path}: it is compressed with gzip, but its name does not say so. "
            "Decompress it, or rename it."
        )
    if not packed and name.endswith(PACKED):
        raise DataError(
            f"Cannot read {path}: it is not compressed with gzip, although its name says so. "
            "Rename it if it is whole, or copy it again from its source."
        )
