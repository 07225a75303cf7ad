"""One DICOM file: its headers, believed only as far as they are filled, and its pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.api import DataError
from sm3kit_volumes.libraries import library
from sm3kit_volumes.volume import Volume, Voxels, damaged

# A file without the preamble of 128 bytes: a low tag of group 2 or 8, and two letters, or a length.
BARE = re.compile(rb"[\x02\x08]\0[\0-\x18]\0([A-Z]{2}|..\0\0)", re.DOTALL)
# Kinds of values that are text, in which blanks are nothing.
TEXTS = (
    "AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR",
    "UT",
)  # fmt: skip
DECODERS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
COMPLETE = {"pydicom", "pylibjpeg"}  # They decode all that the syntaxes they know allow.


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


def read_plane(file: Path, outside: float) -> Voxels:
    """The values (columns, rows) of a slice, in the unit of the scanner's slope and intercept.

    Args:
        outside: the value of what is outside of the body; if it is NaN, padding is NaN.

    Raises:
        DataError: it is damaged, or its decoder is not installed.
    """
    pixels = library("pydicom.pixels", "DICOM files")
    slice_ = read_dataset(file)
    slice_.setdefault("SamplesPerPixel", 1)
    if "RescaleSlope" in slice_ or "RescaleIntercept" in slice_:  # pydicom wants both.
        slice_.RescaleSlope = slice_.get("RescaleSlope", 1)
        slice_.RescaleIntercept = slice_.get("RescaleIntercept", 0)
    try:
        stored = slice_.pixel_array
        values = np.asarray(pixels.apply_modality_lut(stored, slice_), np.float32)
        if math.isnan(outside) and "PixelPaddingValue" in slice_:
            values = np.where(_is_padding(slice_, stored), np.float32(outside), values)
        return values.T
    except Exception as error:  # Decoders raise nearly anything.
        syntax = slice_.file_meta.TransferSyntaxUID
        installed = pixels.get_decoder(syntax).available_plugins if syntax.is_compressed else ()
        if syntax.is_compressed and not installed:
            raise DataError(
                f"{file} is compressed ({syntax.name}), and no decoder is installed. "
                f"Install them: {DECODERS}"
            ) from error
        if syntax.is_compressed and not COMPLETE & set(installed):
            raise damaged(
                file,
                error,
                f"It is compressed ({syntax.name}), which {' and '.join(installed)} cannot always "
                f"decode: install the other decoders ({DECODERS}). If it still cannot be read, copy "
                "it again from its source, or leave its study out.",
            ) from error
        raise damaged(file, error) from error


def _is_padding(header: Any, stored: Voxels) -> Voxels:
    """Where stored values are in the range that marks what was not measured."""
    ends = [header.PixelPaddingValue]
    ends.append(header.get("PixelPaddingRangeLimit", ends[0]))
    if stored.dtype.kind == "i":  # Some write -2000 as 63536, the same bits.
        ends = np.array(ends).astype(stored.dtype).tolist()
    inside: Voxels = (stored >= min(ends)) & (stored <= max(ends))
    return inside


def apply_window(volume: Volume, values: Voxels) -> Voxels:
    """Values of a file from 0 to 1, float32, as its header shows them; MONOCHROME1 is not inverted.

    The VOI lookup table if there is one, else the first window (DICOM PS3.3 C.11.2), by pydicom.

    Raises:
        DataError: the header has neither, or what it has cannot be applied.
    """
    header: Any = volume.headers[0] if volume.headers else {}
    own = "Use the option window=own."
    if "VOILUTSequence" not in header and not (
        "WindowCenter" in header and "WindowWidth" in header
    ):
        raise DataError(f"{volume.path} has no window in its header. {own}")
    pixels = library("pydicom.pixels", "DICOM files")
    try:
        if "VOILUTSequence" in header:
            entries, _, bits = header.VOILUTSequence[0].LUTDescriptor
            if bits == 8 and not 0 < entries <= 256:  # pydicom counts entries in as many bits.
                raise ValueError("a VOI lookup table of 8 bits has more than 256 entries")
            shown = pixels.apply_voi(np.rint(values).astype(np.int32), header)
            black, white = 0, 2**bits - 1
        else:
            shown = pixels.apply_windowing(values, header)
            black, white = pixels.apply_windowing(np.array([-np.inf, np.inf]), header)
        return np.asarray((shown - black) / (white - black), np.float32)
    except Exception as error:  # pydicom raises many kinds on an odd header.
        raise damaged(volume.path, error, own) from error
