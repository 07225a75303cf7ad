"""Files to pixels, with one plain line for every file that cannot be used."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sm3kit.core.errors import DataError, SM3Error
from sm3kit.core.files import regular_file
from sm3kit.core.libraries import hush
from sm3kit.core.members import file_name, open_bytes, taken_apart
from sm3kit.core.registry import registry
from sm3kit.imaging.arrays import load_array
from sm3kit.imaging.layout import Pixels, with_channels
from sm3kit.tables.joining import near_path

AGAIN = "Copy it again from its source, or leave its study out."
ANEW = "Save it as PNG with another program, or leave its study out."
BOTH = "Copy it again from its source, save it as PNG, or leave its study out."
DEEP = ("I", "F")  # Pillow's modes of more than eight bits start with these letters.
DEEP_TILES = re.compile(r";16[BLN]")  # RGB;16B: Pillow would keep the upper half in mode RGB.
UNIT = (0.0, 1.0)
SPILL = 0.1  # How far resampling may carry float values beyond their range, as a share of it.


def read_pixels(
    path: str,
    channels: int,
    enough: int = 0,
    *,
    span: tuple[float, float] | None = UNIT,
    owner: str = "",
) -> Pixels:
    """The pixels (H, W, C) of a file, uint8, or float32 from a .npy file.

    The orientation of the camera (EXIF) is applied. Of several pages the first is read. For
    three channels grey, palette and CMYK files become RGB and transparency is dropped; for one
    channel colour becomes grey; any other number must be that of the file.

    Args:
        path: an image that Pillow knows, or a .npy array (C, H, W) or (H, W), in a tar file or not.
        channels: the number C of channels.
        enough: a shorter side that will do, in pixels. A JPEG of more than twice that is
            decoded at a half, a quarter or an eighth of its size, which is four times as fast.
        span: the range of float values; None takes any that are finite.
        owner: the modality plugin that has the options `channels`, `mean` and `std`, if one
            has; messages then say how to set them.

    Raises:
        DataError: the file is missing, no regular file, empty, damaged, too large, deeper than
            eight bits, of another number of channels, or of float values out of their range.
    """
    hush("PIL")
    _check_there(path)
    if file_name(path).lower().endswith(".npy"):
        return _read_array(path, channels, span, owner)
    try:
        with open_bytes(path) as file, Image.open(file) as picture:
            _check_bands(path, picture, channels, owner)
            if enough:
                picture.draft(None, (2 * enough, 2 * enough))
            picture.load()
            _turn_upright(picture)
            return with_channels(np.asarray(_convert(picture, channels)))
    except DataError:
        raise
    except Exception as error:  # Decoders raise nearly anything on a damaged file.
        raise _refusal(path, error) from error


def _check_there(path: str) -> None:
    taken = taken_apart(path)  # Its tar file is looked at when it is opened.
    near = "" if taken or os.path.exists(path) else near_path(Path(path))  # noqa: PTH110  any name
    remedy = f"{near and near + '. '}Check the data folder, or the table that names this file."
    file = None if taken else regular_file(path, "image", remedy, DataError)
    if not (taken[1].size if taken else file and file.stat().st_size):
        raise DataError(f"The image {path} is empty (0 bytes). {AGAIN}")


def _check_bands(path: str, picture: Image.Image, channels: int, owner: str) -> None:
    deep = picture.mode if picture.mode.startswith(DEEP) else _deep_tile(path, picture)
    if deep:
        raise _too_deep(path, deep)
    bands = len(picture.getbands())
    if channels not in (1, 3, bands):
        raise _wrong_channels(path, channels, bands, f"mode {picture.mode}", owner)


def _deep_tile(path: str, picture: Image.Image) -> str:
    """How deep the values of a colour file are, of which Pillow would keep the upper eight bits."""
    for codec, _, _, arguments in getattr(picture, "tile", ()):
        if DEEP_TILES.search(str(arguments)):
            return "16 per channel"
        if codec.startswith("ppm") and arguments[1] > 255:
            return f"white is {arguments[1]}"
        if codec == "jpeg2k" and _jpeg_bits(path) > 8:
            return f"{_jpeg_bits(path)} per channel"
    return ""


def _jpeg_bits(path: str) -> int:
    """The bits of the first channel, from the marker SIZ (ISO 15444-1, A.5.1)."""
    with open_bytes(path) as file:
        start = file.read(4096)
    place = start.find(b"\xff\x4f\xff\x51")
    return (start[place + 42] & 0x7F) + 1 if 0 <= place < len(start) - 42 else 8


def _turn_upright(picture: Image.Image) -> None:
    with suppress(Exception):  # Damaged EXIF tells no orientation; the pixels are there already.
        ImageOps.exif_transpose(picture, in_place=True)


def _convert(picture: Image.Image, channels: int) -> Image.Image:
    if channels not in (1, 3):
        return picture
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")  # Straight to RGB, Pillow warns.
    if picture.mode == "LAB":
        picture = picture.convert("RGB")  # Straight to grey, Pillow does not know the way.
    return picture.convert("RGB" if channels == 3 else "L")


def _refusal(path: str, error: Exception) -> DataError:
    """What a decoder's error means for the user: a damaged file, or one that is not for it."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Image.DecompressionBombError):
        pixels = int("".join(filter(str.isdigit, reason.partition(")")[0])) or 0)
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return DataError(
            f"The image {path} has {pixels:,} pixels, more than the limit of {most:,}, which "
            "protects the memory. Scale it down, or leave its study out."
        )
    if "MAX_TEXT" in reason:
        return DataError(
            f"The image {path} holds more text (metadata) than is allowed. Save it without "
            "metadata."
        )
    if isinstance(error, UnidentifiedImageError):
        if others := _readers_of(path):
            return DataError(
                f"The image {path} is not in a format that Pillow knows. The modalities that read "
                f"such a file: {', '.join(others)}. Choose one in the data set, or convert the "
                "file."
            )
        return _fault(path, "it is not in a format that Pillow knows", BOTH)
    closed = re.search("unsupported|not supported|not available|unknown", reason, re.IGNORECASE)
    return _fault(path, reason, ANEW if closed else AGAIN)


def _readers_of(path: str) -> list[str]:
    """The modality plugins that say that they read files of such an ending."""
    modalities, known, end = registry("modalities"), [], file_name(path).lower()
    for name in modalities.names():
        with suppress(SM3Error):  # A broken plugin breaks only its own use.
            if end.endswith(tuple(getattr(modalities.load(name), "suffixes", ()))):
                known.append(name)
    return known


def _read_array(path: str, channels: int, span: tuple[float, float] | None, owner: str) -> Pixels:
    try:
        array = load_array(path)
    except DataError:
        raise
    except Exception as error:  # As above.
        raise _fault(path, " ".join(str(error).split()) or type(error).__name__) from error
    if array.dtype.kind not in "uif":
        raise DataError(
            f"The array {path} holds {array.dtype}, but an image is uint8, or float32 from 0 to 1."
            " Save it like that."
        )
    array = array[np.newaxis] if array.ndim == 2 else array
    if array.ndim != 3:
        raise DataError(
            f"The array {path} has shape {array.shape}, but an image is (C, H, W). Save it like "
            "that."
        )
    if not array.size:
        raise DataError(f"The array {path} has shape {array.shape}, which holds no pixel. {AGAIN}")
    if array.shape[0] != channels:
        raise _wrong_axes(path, channels, array.shape, owner)
    if array.dtype.kind == "f":
        array = _in_span(path, array, span, owner)
    elif array.dtype != np.uint8:
        raise _too_deep(path, str(array.dtype))
    return np.ascontiguousarray(np.moveaxis(array, 0, -1))


def _in_span(path: str, array: Pixels, span: tuple[float, float] | None, owner: str) -> Pixels:
    """The array as float32, all of whose values are finite and in their range."""
    with np.errstate(all="ignore"):  # What is too large for float32 becomes infinite.
        values = array.astype(np.float32)
    odd = int((~np.isfinite(values)).sum())
    if odd:
        raise DataError(
            f"The array {path} holds NaN or infinite values, or values too large for float32 "
            f"({odd:,} of {values.size:,}). Replace them."
        )
    low, high = float(values.min()), float(values.max())
    if span is not None:
        spill = SPILL * (span[1] - span[0])
        if not span[0] - spill <= low <= high <= span[1] + spill:
            raise _out_of_span(path, (low, high), span, owner)
    return values


def _out_of_span(
    path: str, seen: tuple[float, float], span: tuple[float, float], owner: str
) -> DataError:
    remedy = "Divide it by 255" if seen[0] >= 0 and 1 < seen[1] <= 255 else "Scale it"
    own = f", or set -o {owner}.mean and -o {owner}.std to those of your values" if owner else ""
    return DataError(
        f"The array {path} holds values from {seen[0]:g} to {seen[1]:g}, but a float image must "
        f"have values from {span[0]:g} (black) to {span[1]:g} (white). {remedy}, or save it as "
        f"uint8{own}."
    )


def _fault(path: str, reason: str, remedy: str = AGAIN) -> DataError:
    return DataError(f"Cannot read the image {path}: {reason.rstrip('.')}. {remedy}")


def _too_deep(path: str, kind: str) -> DataError:
    return DataError(
        f"The image {path} has values of more than 8 bits ({kind}); which of them are black and "
        "white is your choice. Save it with 8 bits, or as a float32 .npy array (C, H, W) from 0 "
        "to 1."
    )


def _wrong_axes(path: str, wanted: int, shape: tuple[int, ...], owner: str) -> DataError:
    if shape[-1] == wanted or shape[-1] < min(shape[:-1]):
        return DataError(
            f"The array {path} has shape {shape}, which looks like (H, W, C), but an image is "
            f"({wanted}, H, W). Save it so: numpy.moveaxis(array, -1, 0)."
        )
    return _wrong_channels(path, wanted, shape[0], f"shape {shape}, read as C, H, W", owner)


def _wrong_channels(path: str, wanted: int, got: int, what: str, owner: str) -> DataError:
    choice = f"Convert it, or choose -o {owner}.channels={got}." if owner else "Convert it."
    return DataError(
        f"The image {path} should have {wanted} channels, but has {got} ({what}). {choice}"
    )
