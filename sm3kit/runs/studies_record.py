"""Which studies a run was trained with, and what their images were: `RUN/studies.json.gz`."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from sm3kit.core.errors import CheckpointError, DataError, SM3Error
from sm3kit.core.files import file_and_part, regular_file, whole_file
from sm3kit.core.plain_json import check_shape, parse
from sm3kit.core.threads import in_threads
from sm3kit.data.cases import Case
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool
from sm3kit.datasets.base import SPLITS
from sm3kit.modalities.base import Modality
from sm3kit.runs.record import REMEDY

FORMAT = 1
# {"group", "split", "images": {modality: [fingerprint of each of its images]}}
Entry = Mapping[str, Any]
ENTRY = {"group": str, "split": str, "images": {"*": [str]}}
SOURCE = {"run": str, "data": str, "splits": [str], "readings": {"*": str}, "studies": {"*": ENTRY}}

HEAD = 4096  # Bytes of each file of a folder, such as a series of slices, that are looked at.
PART = "#"  # Begins the hash of a part of a file: two rows of a table may well be equal.

# Bytes, time of change in ns, and a hash of the content; without a hash, nothing is known of it.
UNKNOWN = "0 0 "
FORM = re.compile(rf"\d+ \d+ ({PART}?[0-9a-f]{{16}})?")


@dataclass(frozen=True)
class SourceRecord:
    """One data set, as it was when a run was trained with it.

    Attributes:
        run: the earlier run that was trained with it, and that this one started from; empty for
            the run itself.
        data: what a user gave to --data.
        splits: what was trained on.
        readings: {modality: how its images were read}.
        studies: {id: group, split and fingerprints}, of all splits.
    """

    run: str
    data: str
    splits: Sequence[str]
    readings: Mapping[str, str]
    studies: Mapping[str, Entry]

    @cached_property
    def trained(self) -> dict[str, Entry]:
        """The studies that were trained on."""
        return {
            name: entry for name, entry in self.studies.items() if entry["split"] in self.splits
        }

    @cached_property
    def groups(self) -> set[str]:
        """The patients or lesions that were trained on."""
        return {entry["group"] for entry in self.trained.values()}

    @cached_property
    def contents(self) -> dict[int, set[str]]:
        """{bytes: hashes} of the images that were trained on, without parts of files."""
        hashes: dict[int, set[str]] = {}
        every = (rows for entry in self.trained.values() for rows in entry["images"].values())
        for size, _, digest in map(str.split, chain.from_iterable(every), repeat(" ")):
            if digest and not digest.startswith(PART):
                hashes.setdefault(int(size), set()).add(digest)
        return hashes


def record_of(pool: Pool, splits: Sequence[str], images: ImageCache) -> list[SourceRecord]:
    """The record of a run that is about to be trained on some splits of a pool.

    Files that the cache has read already are not read again.
    """
    cases = pool.of(SPLITS)
    studies: list[dict[str, Entry]] = [{} for _ in pool.sources]
    entries = in_threads(lambda case: _entry(pool, case, splits, images), cases)
    for case, entry in zip(cases, entries, strict=True):
        studies[case.source][case.study.id] = entry
    images.keep_hashes()
    return [
        SourceRecord("", source.spec, list(splits), _readings(pool, index), studies[index])
        for index, source in enumerate(pool.sources)
    ]


def with_earlier(
    record: Sequence[SourceRecord], folder: Path, earlier: Sequence[SourceRecord]
) -> list[SourceRecord]:
    """A record, and what the run in `folder`, from which the new one starts, was trained on."""
    sources = list(record)
    for source in earlier:
        if (source.data, source.trained) not in [(known.data, known.trained) for known in sources]:
            sources.append(replace(source, run=source.run or str(folder), studies=source.trained))
    return sources


def write_studies(file: Path, record: Sequence[SourceRecord]) -> None:
    """Writes the record of a run: whole, and equal bytes for equal records."""
    names = [field.name for field in fields(SourceRecord)]
    sources = [{name: getattr(source, name) for name in names} for source in record]
    text = json.dumps({"format": FORMAT, "sources": sources}, ensure_ascii=False)
    with whole_file(file, REMEDY) as part:
        part.write_bytes(gzip.compress(text.encode(), compresslevel=6, mtime=0))


def read_studies(file: Path) -> list[SourceRecord]:
    """The record of a run; nothing for a run of an older sm3kit.

    Raises:
        CheckpointError: it is damaged.
    """
    if not file.exists():
        return []
    remedy = "Restore it, or delete it to do without."
    file = regular_file(file, "record of studies", remedy, CheckpointError)
    try:
        facts = parse(gzip.decompress(file.read_bytes()).decode())
        check_shape(facts, {"format": int, "sources": [SOURCE]})
        return _understood(facts)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, DataError) as error:
        reason = " ".join(str(error).split()).rstrip(".")[:200]
        raise CheckpointError(
            f"{file} is damaged, or is not a record of studies: {reason}. {remedy}"
        ) from error


def _understood(facts: Mapping[str, Any]) -> list[SourceRecord]:
    if facts["format"] != FORMAT:
        raise DataError(f"it has format {facts['format']} instead of {FORMAT}")
    names = [field.name for field in fields(SourceRecord)]
    sources = [
        SourceRecord(**{name: source[name] for name in names}) for source in facts["sources"]
    ]
    for source in sources:
        for entry in source.studies.values():
            for text in chain.from_iterable(entry["images"].values()):
                if not FORM.fullmatch(text):
                    raise DataError(f"{text[:80]!r} does not describe an image")
    return sources


def _readings(pool: Pool, index: int) -> dict[str, str]:
    return {name: reader.reading for name, reader in pool.readers[index].items()}


def _entry(pool: Pool, case: Case, splits: Sequence[str], images: ImageCache) -> Entry:
    """What the record says of a study; parts of files are decoded only if they are trained on."""
    readers, parts = pool.readers[case.source], case.study.split in splits
    table = {
        name: [fingerprint(path, readers[name], images, parts=parts) for path in paths]
        for name, paths in case.images.items()
    }
    return {"group": case.study.group, "split": case.study.split, "images": table}


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
        folders = [Path(file) for file in reader.files(path) if os.path.isdir(file)]  # noqa: PTH112
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
