"""One DICOM file, whose headers are believed only as far as they are filled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.api import DataError
from sm3kit_volumes.libraries import library
from sm3kit_volumes.volume import damaged

# A file without the preamble of 128 bytes: a low tag of group 2 or 8, and two letters, or a length.
BARE = re.compile(rb"[\x02\x08]\0[\0-\x18]\0([A-Z]{2}|..\0\0)", re.DOTALL)
# Kinds of values that are text, in which blanks are nothing.
TEXTS = (
    "AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR",
    "UT",
)  # fmt: skip


def is_dicom(file: Path) -> bool:
    """Whether a file has the mark of DICOM behind its preamble, or starts with headers at once."""
    try:
        with file.open("rb") as stream:
            start = stream.read(132)
    except OSError as error:
        raise damaged(file, error) from error
    return start[128:] == b"DICM" or BARE.match(start) is not None


def read_dataset(file: Path, **options: Any) -> Any:
    """What a file holds; a header that is there but empty is as one that is not there.

    A file without the preamble, and without the headers of group 2, is read as its first headers
    show.

    Args:
        options: of `pydicom.dcmread`.

    Raises:
        DataError: it is damaged, or no DICOM.
    """
    pydicom = library("pydicom", "DICOM files")
    try:
        dataset = pydicom.dcmread(file, force=True, **options)
        for tag in list(dataset.keys()):
            if _is_empty(dataset.get_item(tag)):
                del dataset[tag]
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = _syntax(dataset)
        dataset.filename = str(file)
        return dataset
    except Exception as error:  # pydicom raises many kinds on a damaged header.
        raise damaged(file, error) from error


def _is_empty(element: Any) -> bool:
    """Whether an element, decoded or not, holds nothing, or a text of nothing but blanks."""
    value = element.value
    if value is None or (hasattr(value, "__len__") and not len(value)):
        return True
    if not isinstance(value, bytes) or value.strip(b" \0"):
        return False
    datadict = library("pydicom.datadict", "DICOM files")
    known = datadict.dictionary_has_tag(element.tag)
    return (element.VR or (datadict.dictionary_VR(element.tag) if known else "")) in TEXTS


def _syntax(dataset: Any) -> Any:
    """How a file without the headers of group 2 is written, as its first headers show."""
    uid = library("pydicom.uid", "DICOM files")
    implicit, little = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def numbers(header: Any, name: str, absent: Sequence[float]) -> npt.NDArray[np.float64]:
    """The numbers of a header, or others where it is absent.

    Raises:
        DataError: it holds more or fewer.
        ValueError: it holds something else.
    """
    held = np.atleast_1d(np.asarray(header.get(name, absent), np.float64))
    if len(held) != len(absent):
        raise DataError(
            f"{header.filename}: the header {name} should hold {len(absent)} numbers, but holds "
            f"{len(held)}. Export the file again, or leave its study out."
        )
    return held
