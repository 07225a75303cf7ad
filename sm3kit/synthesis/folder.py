"""Folders that are either whole or not there, and the pictures and tables in them."""

from __future__ import annotations

import csv
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sm3kit.core.errors import DataError, SM3Error

_QUALITY = 92  # Of the JPEG files.


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place when the block ends well.

    Raises:
        DataError: `out` is a file or has something in it, before or after the block.
        SM3Error: the disk is full or the folder cannot be written; nothing is left behind.
    """
    _refuse_taken(out)
    temporary = out.parent / f".{out.name}.{uuid.uuid4().hex}.part"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _refuse_taken(out)
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    except OSError as error:
        # Another writer may have been first.
        _refuse_taken(out)
        raise SM3Error(
            f"Cannot write {out}: {error.strerror}. Free some space or choose another folder."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_taken(out: Path) -> None:
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists():
        raise DataError(
            f"Wanted a new or empty folder to write to, but {out} is there already. "
            "Choose another folder, or delete it first."
        )


def save_picture(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Writes a picture (H, W, 3), RGB, as JPEG; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    path.write_bytes(data.tobytes())


def save_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
