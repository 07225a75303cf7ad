"""What an image was, in a few bytes: whether it is still the same can be told later."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from sm3kit.core.errors import SM3Error
from sm3kit.core.files import file_and_part
from sm3kit.data.image_cache import ImageCache
from sm3kit.modalities.base import Modality

HEAD = 4096  # Bytes of each file of a folder, such as a series of slices, that are looked at.
PART = "#"  # Begins the hash of a part of a file: two rows of a table may well be equal.

# Bytes, time of change in ns, and a hash of the content; without a hash, nothing is known of it.
UNKNOWN = "0 0 "
FORM = re.compile(rf"\d+ \d+ ({PART}?[0-9a-f]{{16}})?")


def fingerprint(path: str, reader: Modality, images: ImageCache, *, parts: bool) -> str:
    """What is kept of an image: "BYTES TIME HASH".

    Args:
        path: of the image.
        reader: how it is read.
        images: decoded images; a file whose content it knows is not read again.
        parts: whether a part of a file is looked at, which must be decoded for it.
    """
    known = images.size_and_time(path, reader)
    if known is None or (file_and_part(path)[1] and not parts):
        return UNKNOWN
    return f"{known[0]} {known[1]} {identity(path, reader, images)}"


def same_image(
    path: str, reader: Modality, images: ImageCache, before: str, *, alike: bool
) -> bool | None:
    """Whether an image is the one that a fingerprint was taken of; None if nobody can tell.

    One that has the size and the time of change of then is not read.

    Args:
        alike: whether it is read as it was read then.
    """
    size, time, digest = before.split(" ")
    now = images.size_and_time(path, reader)
    if now is None or not digest:
        return None
    if now == (int(size), int(time)):
        return True
    if file_and_part(path)[1]:  # The rest of the file may have changed, and the size with it.
        return identity(path, reader, images) == digest if alike else None
    return now[0] == int(size) and identity(path, reader, images) == digest


def identity(path: str, reader: Modality, images: ImageCache) -> str:
    """A hash of an image that stays when its files are copied; empty if it cannot be read.

    Of a part of a file, such as a row of a table, what is read from it is hashed, as the rest of
    the file may change. Of a folder the names, sizes and first bytes of its files are hashed.
    """
    try:
        if file_and_part(path)[1]:
            image = images.get(path, reader)
            return PART + _hash(f"{image.shape} {image.dtype}".encode(), image.tobytes())
        folders = [Path(file) for file in reader.files(path) if Path(file).is_dir()]
        whole = "" if folders else images.digest(path, reader)
        heads = [part for folder in folders for part in _heads(folder)]
        return _hash(whole.encode(), *heads) if whole or heads else ""
    except (SM3Error, OSError):
        return ""


def _heads(folder: Path) -> Iterator[bytes]:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield f"{file.relative_to(folder)} {file.stat().st_size}".encode()
            with file.open("rb") as opened:
                yield opened.read(HEAD)


def _hash(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()
