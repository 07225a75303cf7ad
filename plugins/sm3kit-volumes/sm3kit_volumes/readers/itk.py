"""MetaImage and NRRD files, and resampling from one grid to another, by SimpleITK."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.api import DataError, regular_file
from sm3kit_volumes.libraries import library
from sm3kit_volumes.volume import Volume, Voxels, damaged

# Headers whose voxels lie in another file, and the word before its name.
DETACHED = {".mhd": "ElementDataFile", ".nhdr": "data file"}
SUFFIXES = (".mha", ".nrrd", *DETACHED)
# ITK counts millimetres to the left and to the back.
TO_CANONICAL = np.diag([-1.0, -1.0, 1.0, 1.0])


def open_itk(path: Path, outside: float) -> Volume:
    """The volume of a file; a plane of an uncompressed .mha is read alone.

    Raises:
        DataError: the file is damaged, has colours, or is not three-dimensional.
    """
    sitk = library("SimpleITK", "MetaImage and NRRD files")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # Its warnings pass Python by.
    for file in detached(path):
        if not file.is_dir():
            regular_file(file, "file of voxels", f"Check {path}, which names it.", DataError)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise damaged(path, _last_line(error)) from error
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    if len(size) != 3 or components != 1:
        raise DataError(
            f"{path} has shape {size} with {components} values per voxel, but an image is made of "
            "one grey volume (x, y, z). Save it alone."
        )

    def block(first: int, last: int) -> Voxels:
        reader.SetExtractIndex([0, 0, first])
        reader.SetExtractSize([size[0], size[1], last - first])
        try:
            return np.asarray(sitk.GetArrayFromImage(reader.Execute()).transpose())
        except RuntimeError as error:
            raise damaged(path, _last_line(error)) from error

    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * reader.GetSpacing()
    affine[:3, 3] = reader.GetOrigin()
    return Volume(str(path), tuple(size), TO_CANONICAL @ affine, block, outside, whole=True)


def detached(path: Path) -> list[Path]:
    """The file with the voxels of a header that holds none; its folder where there are many."""
    word = DETACHED.get(path.suffix.lower())
    if word is None or not path.is_file():
        return []
    for line in path.read_text(encoding="latin-1").splitlines():
        name, _, value = (text.strip() for text in line.replace("=", ":", 1).partition(":"))
        if name.lower() == word.lower() and os.path.exists(path.parent / value):  # noqa: PTH110
            return [path.parent / value]
    return [path.parent]


def resampled(volume: Volume, grid: Volume) -> Volume:
    """A volume at the voxels of another one, interpolated linearly, a few planes at a time."""
    sitk = library("SimpleITK", "Scans on the grid of another")

    @cache
    def source() -> Any:
        return _image(np.concatenate(list(volume.blocks()), axis=2), volume.affine)

    def block(first: int, last: int) -> Voxels:
        shift = np.eye(4)
        shift[2, 3] = first
        origin, spacing, direction = _geometry(grid.affine @ shift)
        image = sitk.Resample(
            source(),
            [*grid.shape[:2], last - first],
            sitk.Transform(),
            sitk.sitkLinear,
            origin,
            spacing,
            direction,
            volume.outside,
        )
        return np.asarray(sitk.GetArrayFromImage(image).transpose())

    return replace(volume, shape=grid.shape, affine=grid.affine, block=block, whole=False)


def _image(voxels: Voxels, affine: npt.NDArray[np.float64]) -> Any:
    sitk = library("SimpleITK", "Scans on the grid of another")
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose()))
    origin, spacing, direction = _geometry(affine)
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    return image


def _geometry(affine: npt.NDArray[np.float64]) -> tuple[list[float], list[float], list[float]]:
    """Origin, spacing and direction, as ITK says them."""
    turned = TO_CANONICAL @ affine
    spacing = np.linalg.norm(turned[:3, :3], axis=0)
    direction = turned[:3, :3] / spacing
    return turned[:3, 3].tolist(), spacing.tolist(), direction.ravel().tolist()


def _last_line(error: RuntimeError) -> RuntimeError:
    """ITK says where in its code it stopped, and in the last line why."""
    return RuntimeError(str(error).strip().rpartition("\n")[2])
