"""Any scan by its path: which reader opens it."""

from __future__ import annotations

import os
from pathlib import Path

from sm3kit.api import DataError, regular_file
from sm3kit_volumes.parts import Part, parted
from sm3kit_volumes.readers import dicom, itk, nifti
from sm3kit_volumes.readers.dataset import is_dicom
from sm3kit_volumes.volume import Volume

DICOM = (".dcm", ".dicom")
SUFFIXES = (*nifti.SUFFIXES, *itk.SUFFIXES, *DICOM)


def open_volume(path: str, outside: float) -> tuple[Volume, Part]:
    """The volume behind a path, on the grid that its part names, and that part.

    Args:
        outside: the value of what is outside of the body; NaN marks DICOM padding, too.

    Raises:
        DataError: there is no such scan, or it cannot be read.
    """
    file, part = parted(path)
    volume = _open(file, part, outside)
    if part.grid:
        volume = itk.resampled(volume, _open(file.parent / part.grid, Part(), outside))
    return volume, part


def files_of(path: str) -> list[str]:
    """All files that a scan is made of, with those of the scan that gives its grid."""
    file, part = parted(path)
    scans = [file, *([file.parent / part.grid] if part.grid else [])]
    return [str(one) for scan in scans for one in (scan, *itk.detached(scan))]


def _open(file: Path, part: Part, outside: float) -> Volume:
    if os.path.isdir(file):  # noqa: PTH112  Path stumbles over a name that is too long.
        return dicom.open_dicom(file, part, outside)
    regular_file(file, "scan", "Check the data folder, or the table that names it.", DataError)
    if not file.stat().st_size:
        raise DataError(f"The scan {file} is empty (0 bytes). Copy it again from its source.")
    name = file.name.lower()
    if name.endswith(nifti.SUFFIXES):
        return nifti.open_nifti(file, part, outside)
    if name.endswith(itk.SUFFIXES):
        return itk.open_itk(file, outside)
    if is_dicom(file):
        return dicom.open_dicom(file, part, outside)
    raise DataError(
        f"{file} is not a supported scan: NIfTI, MetaImage and NRRD are known by "
        f"{', '.join((*nifti.SUFFIXES, *itk.SUFFIXES))}, DICOM by the mark DICM after 128 bytes or by headers at "
        "the start, a series by its folder."
    )
