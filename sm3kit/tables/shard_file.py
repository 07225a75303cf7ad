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
from sm3kit.core.members import file_name, open_bytes, size_and_time
from sm3kit.tables.shard_entry import FACTS, FORMAT
from sm3kit.tables.shard_index import index_file, make_index, write_index

SUFFIX = re.compile(r"(\.nii)?\.[A-Za-z0-9]+$")
NAMELESS = ".bin"  # Of a file without a suffix.


@dataclass(frozen=True)
class Limits:
    """Where a shard ends: before the study that would exceed one of them.

    Attributes:
        bytes: most bytes of a shard, unless one study alone has more.
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

    @property
    def size(self) -> int:
        """Bytes of its files."""
        files = {file_and_part(path)[0] for paths in self.images.values() for path in paths}
        return sum((size_and_time(file) or (os.stat(file).st_size,))[0] for file in files)  # noqa: PTH116


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
    for number, group in groupby(_numbered(studies, limits), key=lambda pair: pair[0]):
        shards.append(folder / f"{name}-{number:06}.tar")
        with tarfile.open(shards[-1], "w") as tar:
            _add(tar, FACTS, _json({"format": FORMAT, **facts}))
            for _, study in group:
                _add_study(tar, study)
        # Made from what can be read of the shard, so that nobody can read less.
        write_index(index_file(shards[-1]), make_index(shards[-1]))
    return shards


def _numbered(studies: Iterable[Packing], limits: Limits) -> Iterator[tuple[int, Packing]]:
    """Each study, and the number of its shard."""
    shard = count = size = 0
    for study in studies:
        more = study.size
        if count == limits.studies or (count and size + more > limits.bytes):
            shard, count, size = shard + 1, 0, 0
        yield shard, study
        count, size = count + 1, size + more


def plain(name: str) -> str:
    """A name that may begin the name of a member: any id, without dots, strokes and blanks."""
    return quote(name, safe="").replace(".", "%2E")


def _add_study(tar: tarfile.TarFile, study: Packing) -> None:
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
    _add(tar, f"{key}.json", _json({**study.facts, "images": images}))
    for (_, file), ending in endings.items():
        with open_bytes(file) as stream:
            _add(tar, f"{key}.{ending}", stream.read())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, BytesIO(content))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
