"""Files of the same content, found without reading every file."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Mapping

from sm3kit.core.errors import DataError
from sm3kit.core.members import open_bytes

HEAD = 65536  # Bytes that tell most files of one size apart.


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
