"""Files to pixels, with one plain line for every file that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sm3kit.core.errors import DataError
from sm3kit.imaging.layout import Pixels, with_channels

AGAIN = "Copy it again from its source, or leave its study out."
DEEP = ("I", "F")  # Pillow's modes of more than eight bits start with these letters.


def read_pixels(path: str, channels: int, enough: int = 0) -> Pixels:
    """The pixels (H, W, C) of a file, uint8, or float32 from a .npy file.

    The orientation of the camera (EXIF) is applied. Of several pages the first is read. For
    three channels grey, palette and CMYK files become RGB and transparency is dropped; for one
    channel colour becomes grey; any other number must be that of the file.

    Args:
        path: an image that Pillow knows, or a .npy array (C, H, W) or (H, W).
        channels: the number C of channels.
        enough: a shorter side that will do, in pixels. A JPEG of more than twice that is
            decoded at a half, a quarter or an eighth of its size, which is four times as fast.

    Raises:
        DataError: the file is missing, empty, damaged, deeper than eight bits, or has another
            number of channels.
    """
    _check_there(Path(path))
    if path.lower().endswith(".npy"):
        return _read_array(path, channels)
    try:
        with Image.open(path) as picture:
            mode = picture.mode
            if not mode.startswith(DEEP) and _fits(picture, channels):
                if enough:
                    picture.draft(None, (2 * enough, 2 * enough))
                ImageOps.exif_transpose(picture, in_place=True)
                return with_channels(np.asarray(_converted(picture, channels)))
            bands = len(picture.getbands())
    except UnidentifiedImageError as error:
        raise _broken(path, "it is not in a format that Pillow knows") from error
    except Exception as error:  # Decoders raise nearly anything on a damaged file.
        raise _broken(path, " ".join(str(error).split()) or type(error).__name__) from error
    if mode.startswith(DEEP):
        raise _too_deep(path, mode)
    raise _wrong_channels(path, channels, bands, f"mode {mode}")


def _check_there(path: Path) -> None:
    if not path.exists():
        raise DataError(
            f"There is no image {path}. Check the data folder, or the table that names this file."
        )
    if path.is_dir():
        raise DataError(f"{path} is a folder, not an image. Check the table that names it.")
    if path.stat().st_size == 0:
        raise DataError(f"The image {path} is empty (0 bytes). {AGAIN}")


def _fits(picture: Image.Image, channels: int) -> bool:
    return channels in (1, 3) or len(picture.getbands()) == channels


def _converted(picture: Image.Image, channels: int) -> Image.Image:
    if channels not in (1, 3):
        return picture
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")  # Straight to RGB, Pillow warns.
    return picture.convert("RGB" if channels == 3 else "L")


def _read_array(path: str, channels: int) -> Pixels:
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:  # As above; numpy raises ValueError, EOFError, OSError and more.
        raise _broken(path, " ".join(str(error).split()) or type(error).__name__) from error
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim != 3:
        raise DataError(
            f"The array {path} has shape {array.shape}, but an image is (C, H, W). Save it so."
        )
    if array.shape[0] != channels:
        raise _wrong_channels(
            path, channels, array.shape[0], f"shape {array.shape}, read as C, H, W"
        )
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise DataError(f"The array {path} holds NaN or infinite values. Replace them.")
    elif array.dtype != np.uint8:
        raise _too_deep(path, str(array.dtype))
    return np.ascontiguousarray(np.moveaxis(array, 0, -1))


def _broken(path: str, reason: str) -> DataError:
    return DataError(f"Cannot read the image {path}: {reason.rstrip('.')}. {AGAIN}")


def _too_deep(path: str, kind: str) -> DataError:
    return DataError(
        f"The image {path} has values of more than 8 bits ({kind}); which of them are black and "
        "white is your choice. Save it with 8 bits, or as a float32 .npy array (C, H, W)."
    )


def _wrong_channels(path: str, wanted: int, got: int, what: str) -> DataError:
    return DataError(
        f"The image {path} should have {wanted} channels, but has {got} ({what}). "
        f"Convert it, or choose -o photo.channels={got}."
    )
