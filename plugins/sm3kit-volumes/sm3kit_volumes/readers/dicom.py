"""DICOM files and series, by pydicom; slices are sorted by where they lie, not by name."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.api import DataError, visible_paths
from sm3kit_volumes.parts import Part
from sm3kit_volumes.readers.dataset import is_dicom, numbers, read_dataset, read_plane
from sm3kit_volumes.volume import Volume, Voxels, damaged

LOG = logging.getLogger(__name__)
UPRIGHT = (1, 0, 0, 0, 1, 0)  # Columns to the left of the patient, rows to the back.
# DICOM counts millimetres to the left and to the back.
TO_CANONICAL = np.diag([-1.0, -1.0, 1.0, 1.0])


def open_dicom(path: Path, part: Part, outside: float) -> Volume:
    """The volume of a file, or of a series in a folder and the folders in it.

    Of several series the one with most slices is taken, unless `#series=UID` says which.

    Raises:
        DataError: there is no series, a slice is missing, two are at one place, or the slices
            are not grey planes of one size and direction.
    """
    headers = [_image(path)] if path.is_file() else _headers(path)
    slices = _series(path, headers, part.series)
    try:
        _check_alike(path, slices)
        slices, gap = _sorted(path, slices)
        affine = _affine(slices[0], gap)
    except (TypeError, ValueError) as error:  # A header that is no number.
        raise damaged(path, error) from error
    block = _blocks([Path(one.filename) for one in slices], outside)
    shape = (int(slices[0].Columns), int(slices[0].Rows), len(slices))
    return Volume(str(path), shape, affine, block, outside, headers=tuple(slices))


def patient_of(path: Path) -> str:
    """PatientID of a file, or of the first DICOM file of a folder; empty where there is none."""
    files = visible_paths(path, "**/*") if path.is_dir() else [path]
    for file in files:
        if file.is_file() and is_dicom(file):
            header = read_dataset(file, stop_before_pixels=True, specific_tags=["PatientID"])
            return str(header.get("PatientID", "")).strip()
    return ""


def _image(file: Path) -> Any:
    """The headers of a file that holds an image."""
    header = read_dataset(file, stop_before_pixels=True)
    missing = [name for name in ("Rows", "Columns") if name not in header]
    if missing:
        raise DataError(
            f"{file} holds no DICOM image: {' and '.join(missing)} missing. Name the file of a "
            "slice, or the folder of a series."
        )
    return header


def _headers(folder: Path) -> list[Any]:
    """The headers of all images below a folder; directories, reports and contours are none."""
    files = [one for one in visible_paths(folder, "**/*") if one.is_file() and is_dicom(one)]
    headers = [read_dataset(file, stop_before_pixels=True) for file in files]
    images = [header for header in headers if "Rows" in header]
    if not images:
        raise DataError(
            f"The folder {folder} holds no DICOM image ({len(files)} DICOM files). Name the folder "
            "of a series, or a file."
        )
    return images


def _series(folder: Path, headers: Sequence[Any], wanted: str) -> list[Any]:
    """The slices of one series; a choice that was made here is logged."""
    found = defaultdict(list)
    for header in headers:
        found[str(header.get("SeriesInstanceUID", ""))].append(header)
    if wanted and wanted not in found:
        listed = ", ".join(f"{uid} ({len(slices)} slices)" for uid, slices in found.items())
        raise DataError(f"The folder {folder} holds no series {wanted}. It holds {listed}.")
    uid = wanted or max(found, key=lambda one: len(found[one]))
    if not wanted and len(found) > 1:
        LOG.warning(
            "%s holds %d series; the largest, %s, is read. Choose another with %s#series=UID.",
            folder,
            len(found),
            uid,
            folder.name,
        )
    return found[uid]


def _check_alike(path: Path, slices: Sequence[Any]) -> None:
    first = slices[0]
    if first.get("SamplesPerPixel", 1) != 1:
        raise DataError(f"{path} is a colour image, but scans are grey. Save it as PNG, a photo.")
    if int(first.get("NumberOfFrames", 1)) > 1:
        raise DataError(
            f"{path} is an enhanced (multi-frame) DICOM file, which is not read here. "
            "Convert it to NIfTI, for example with dcm2niix."
        )
    for one in slices[1:]:
        same = (one.Rows, one.Columns) == (first.Rows, first.Columns)
        if not same or not np.allclose(_direction(one), _direction(first), atol=1e-3):
            raise DataError(
                f"{path}: the slices {_name(first)} and {_name(one)} of one series differ in size "
                "or direction. Move files that do not belong to the volume to another folder."
            )


def _sorted(path: Path, slices: Sequence[Any]) -> tuple[list[Any], float]:
    """The slices in the order of their places along the normal, and how far they are apart."""
    if len(slices) == 1:
        return list(slices), float(slices[0].get("SliceThickness", 0)) or 1.0
    unplaced = [one for one in slices if "ImagePositionPatient" not in one]
    if unplaced:
        raise DataError(
            f"{path}: the slice {_name(unplaced[0])} has no ImagePositionPatient, without which "
            "slices have no order. Export the series again, or leave its study out."
        )
    row, column = _direction(slices[0])
    placed = sorted(
        ((float(np.dot(_place(one), np.cross(row, column))), one) for one in slices),
        key=lambda pair: (pair[0], pair[1].filename),
    )
    gaps = np.diff([place for place, _ in placed])
    usual = float(np.median(gaps))
    for gap, (start, one), (end, other) in zip(gaps, placed, placed[1:], strict=False):
        where = f"{_name(one)} at {start:.1f} mm and {_name(other)} at {end:.1f} mm"
        if gap > 1.5 * usual:
            raise DataError(
                f"{path}: a slice is missing between {where}; neighbours are {usual:.1f} mm apart. "
                "Copy the series again, or leave its study out."
            )
        if gap < 0.5 * usual or gap <= 0:
            raise DataError(
                f"{path}: two slices are at the same position, {where}: the series holds several "
                "time points or echoes. Keep one of them in the folder."
            )
    return [one for _, one in placed], usual


def _affine(header: Any, gap: float) -> npt.NDArray[np.float64]:
    row, column = _direction(header)
    name = "PixelSpacing" if "PixelSpacing" in header else "ImagerPixelSpacing"
    down, across = numbers(header, name, (1, 1))
    affine = np.eye(4)
    affine[:3, 0] = row * across
    affine[:3, 1] = column * down
    affine[:3, 2] = np.cross(row, column) * gap
    affine[:3, 3] = _place(header)
    return TO_CANONICAL @ affine


def _direction(header: Any) -> npt.NDArray[np.float64]:
    """(2, 3): where the next column lies, and the next row."""
    return numbers(header, "ImageOrientationPatient", UPRIGHT).reshape(2, 3)


def _place(header: Any) -> npt.NDArray[np.float64]:
    return numbers(header, "ImagePositionPatient", (0, 0, 0))


def _blocks(files: Sequence[Path], outside: float) -> Any:
    def block(first: int, last: int) -> Voxels:
        return np.stack([read_plane(file, outside) for file in files[first:last]], axis=2)

    return block


def _name(header: Any) -> str:
    return Path(header.filename).name
