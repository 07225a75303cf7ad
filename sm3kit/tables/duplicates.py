"""Files of the same content, found without reading every file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sm3kit.core.errors import DataError
from sm3kit.core.files import regular_file
from sm3kit.core.members import open_bytes, taken_apart

HEAD = 65536  # Bytes that tell most files of one size apart.


class Place(NamedTuple):
    """How large a file is, and where it lies on the disk, whatever its name: links share a place."""

    bytes: int
    place: tuple[int, int, int]


def place_of(file: str) -> Place:
    """The place of a file or folder, or of a member of a tar file, that can be opened.

    Raises:
        DataError: it is empty, or not to be opened.
        OSError, ValueError: it is not there, or no file has such a name.
    """
    taken = taken_apart(file)
    state = os.stat(taken[0] if taken else file)  # noqa: PTH116  a str, and called for every image
    if taken:
        size, start = taken[1].size, taken[1].start
    else:
        size, start = state.st_size, 0
        # What is usual needs no second look.
        if not (stat.S_ISDIR(state.st_mode) or _is_readable(file, state)):
            regular_file(file, "image", "Check the table that names it.", DataError)
    if not size and not stat.S_ISDIR(state.st_mode):
        raise DataError("The file is empty.")
    return Place(size, (state.st_dev, state.st_ino, start))


def _is_readable(file: str, state: os.stat_result) -> bool:
    return stat.S_ISREG(state.st_mode) and os.access(file, os.R_OK)


def same_place(places: Mapping[str, Place]) -> dict[str, str]:
    """{path: the first path to the same file on the disk}."""
    first: dict[tuple[int, int, int], str] = {}
    return {path: first.setdefault(own.place, path) for path, own in places.items()}


def same_content(bytes_of: Mapping[str, int]) -> dict[str, str]:
    """{path: the first path with the same bytes}, for files that have a double.

    Only files of equal size are opened, and only those with an equal start are read whole.

    Args:
        bytes_of: {path: size of the file in bytes}.
    """
    sized = _doubles(list(bytes_of), lambda path: bytes_of[path])
    begun = [part for group in sized for part in _doubles(group, _digest_of_head)]
    same = [part for group in begun for part in _doubles(group, _digest)]
    return {path: group[0] for group in same for path in group}


def _doubles(paths: list[str], key: Callable[[str], object]) -> list[list[str]]:
    parts = defaultdict(list)
    for path in paths:
        parts[key(path)].append(path)
    return [part for part in parts.values() if len(part) > 1]


def _digest_of_head(path: str) -> bytes:
    return _digest(path, HEAD)


def _digest(path: str, most: int | None = None) -> bytes:
    digest = hashlib.sha256()
    try:
        with open_bytes(path) as file:
            while block := file.read(most or 1 << 20):
                digest.update(block)
                if most:
                    break
    except (OSError, DataError):
        return os.fsencode(path)  # A folder of slices, or a closed file: like no other.
    return digest.digest()
