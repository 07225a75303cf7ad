"""Studies are written into tar shards, as webdataset lays them out, each with an index beside it."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sm3kit.core.files import file_and_part
from sm3kit.core.members import BLOCK, file_name, open_bytes, size_and_time
from sm3kit.tables.shard_entry import FACTS, FORMAT
from sm3kit.tables.shard_index import index_file, write_index
from sm3kit.tables.shard_listing import make_index

SUFFIX = re.compile(r"(\.nii)?\.[A-Za-z0-9]+$")
NAMELESS = ".bin"  # Of a file without a suffix.


@dataclass(frozen=True)
class Limits:
    """Where a shard ends: before the study that would exceed one of them.

    Attributes:
        bytes: most bytes of a shard's file, unless one study alone makes more.
        studies: most studies.
    """

    bytes: int = 2**30
    studies: int = 1_000_000


@dataclass(frozen=True)
class Packing:
    """One study to be written.

    Attributes:
        facts: its id, group, split, labels {label: class name} and weak scores.
        images: {modality: paths}, each of a file, of a part of one after `#`, or of a member of a
            tar file.
    """

    facts: Mapping[str, Any]
    images: Mapping[str, Sequence[str]] = field(default_factory=dict)


def write_shards(
    folder: Path,
    name: str,
    facts: Mapping[str, Any],
    studies: Iterable[Packing],
    limits: Limits = Limits(),
) -> list[Path]:
    """Writes studies into `NAME-000000.tar` and so on; equal studies give equal bytes.

    The bytes of images are copied as they are.

    Args:
        folder: where to; it is there.
        name: begins the names of the shards.
        facts: what is known of the data set: modalities, labels, weak labels and notes.
        studies: one after the other.
        limits: of each shard.

    Returns:
        The shards.

    Raises:
        DataError: a member of a tar file cannot be read.
        OSError: a file cannot be read, or not written.
    """
    shards: list[Path] = []
    first = _Members({FACTS: _json({"format": FORMAT, **facts})})
    packed = map(_members, studies)
    for number, group in groupby(_numbered(packed, limits, first.size), key=lambda pair: pair[0]):
        shards.append(folder / f"{name}-{number:06}.tar")
        with tarfile.open(shards[-1], "w") as tar:
            first.write(tar)
            for _, members in group:
                members.write(tar)
        # Made from what can be read of the shard, so that nobody can read less.
        write_index(index_file(shards[-1]), make_index(shards[-1]))
    return shards


@dataclass(frozen=True)
class _Members:
    """Members of a shard that follow each other: {name: content}, and {name: file} behind them."""

    texts: Mapping[str, bytes]
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that they take in a shard, with their headers."""
        sizes = {name: len(text) for name, text in self.texts.items()}
        for name, file in self.files.items():
            sizes[name] = (size_and_time(file) or (os.stat(file).st_size,))[0]  # noqa: PTH116
        return sum(
            len(_header(*member).tobuf()) + _whole(member[1], BLOCK) for member in sizes.items()
        )

    def write(self, tar: tarfile.TarFile) -> None:
        """Adds them to a shard."""
        for name, text in self.texts.items():
            tar.addfile(_header(name, len(text)), BytesIO(text))
        for name, file in self.files.items():
            with open_bytes(file) as stream:
                content = stream.read()
            tar.addfile(_header(name, len(content)), BytesIO(content))


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size = size
    return header


def _whole(size: int, unit: int) -> int:
    """Bytes in whole units."""
    return -(-size // unit) * unit


def _numbered(
    studies: Iterable[_Members], limits: Limits, first: int
) -> Iterator[tuple[int, _Members]]:
    """Each study, and the number of its shard; the first bytes of a shard come before them."""
    shard, count, size = 0, 0, first
    for study in studies:
        more = study.size
        # Two blocks of zeros end a tar file, which is written in whole records.
        full = _whole(size + more + 2 * BLOCK, tarfile.RECORDSIZE) > limits.bytes
        if count == limits.studies or (count and full):
            shard, count, size = shard + 1, 0, first
        yield shard, study
        count, size = count + 1, size + more


def plain(name: str) -> str:
    """A name that may begin the name of a member: any id, without dots, strokes and blanks."""
    return quote(name, safe="").replace(".", "%2E")


def _members(study: Packing) -> _Members:
    key, images = plain(str(study.facts["id"])), {}
    endings: dict[tuple[str, str], str] = {}
    for modality, paths in study.images.items():
        named = []
        for number, path in enumerate(paths):
            file, part = file_and_part(path)
            if (modality, file) not in endings:
                counted = f".{number}" if len(paths) > 1 else ""
                found = SUFFIX.search(file_name(file))
                suffix = found[0] if found else NAMELESS
                endings[modality, file] = f"{plain(modality)}{counted}{suffix}"
            ending = endings[modality, file]
            named.append(f"{ending}#{part}" if part else ending)
        images[modality] = named
    facts = {f"{key}.json": _json({**study.facts, "images": images})}
    return _Members(facts, {f"{key}.{ending}": file for (_, file), ending in endings.items()})


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
