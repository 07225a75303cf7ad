"""Which studies a run was trained with, and what their images were: `RUN/studies.json.gz`."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from sm3kit.core.errors import CheckpointError, DataError
from sm3kit.core.files import regular_file, whole_file
from sm3kit.core.plain_json import check_shape, parse
from sm3kit.datasets.base import SPLITS
from sm3kit.data.cases import Case
from sm3kit.data.fingerprints import FORM, PART, fingerprint
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool
from sm3kit.runs.run import REMEDY, Run

FORMAT = 1
# {"group", "split", "images": {modality: [fingerprint of each of its images]}}
Entry = Mapping[str, Any]
ENTRY = {"group": str, "split": str, "images": {"*": [str]}}
SOURCE = {"run": str, "data": str, "splits": [str], "readings": {"*": str}, "studies": {"*": ENTRY}}


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
        return {name: one for name, one in self.studies.items() if one["split"] in self.splits}

    @cached_property
    def groups(self) -> set[str]:
        """The patients or lesions that were trained on."""
        return {one["group"] for one in self.trained.values()}

    @cached_property
    def contents(self) -> dict[int, set[str]]:
        """{bytes: hashes} of the images that were trained on, without parts of files."""
        found: dict[int, set[str]] = {}
        every = (rows for one in self.trained.values() for rows in one["images"].values())
        for size, _, digest in map(str.split, chain.from_iterable(every), repeat(" ")):
            if digest and not digest.startswith(PART):
                found.setdefault(int(size), set()).add(digest)
        return found


def record_of(pool: Pool, splits: Sequence[str], images: ImageCache) -> list[SourceRecord]:
    """The record of a run that is about to be trained on some splits of a pool.

    Files that the cache has read already are not read again.
    """
    cases = pool.of(SPLITS)
    studies: list[dict[str, Entry]] = [{} for _ in pool.sources]
    with ThreadPoolExecutor() as threads:
        entries = threads.map(lambda case: _entry(pool, case, splits, images), cases)
        for case, entry in zip(cases, entries, strict=True):
            studies[case.source][case.study.id] = entry
    return [
        SourceRecord("", source.spec, list(splits), _readings(pool, index), studies[index])
        for index, source in enumerate(pool.sources)
    ]


def with_earlier(
    record: Sequence[SourceRecord], folder: Path, earlier: Sequence[SourceRecord]
) -> list[SourceRecord]:
    """A record, and what the run in `folder`, from which the new one starts, was trained on."""
    found = list(record)
    for one in earlier:
        if (one.data, one.trained) not in [(other.data, other.trained) for other in found]:
            found.append(replace(one, run=one.run or str(folder), studies=one.trained))
    return found


def keep_studies(
    run: Run,
    pool: Pool,
    splits: Sequence[str],
    images: ImageCache,
    init: Path | None,
    *,
    kept: bool,
) -> None:
    """Writes the record of a run that is about to be trained.

    Args:
        run: the run.
        pool: its studies.
        splits: what it is trained on.
        images: the cache that has read them.
        init: the run that it starts from.
        kept: whether the run goes on, and its record holds what it started from.

    Raises:
        CheckpointError: the record of the earlier run is damaged.
    """
    before = read_studies(run) if kept else []
    if before and run.last.is_file():
        return  # A checkpoint fits no other data.
    record = record_of(pool, splits, images)
    record += [one for one in before if one.run]
    if init is not None and not kept:
        record = with_earlier(record, init, read_studies(Run(init)))
    write_studies(run, record)


def write_studies(run: Run, record: Sequence[SourceRecord]) -> None:
    """Writes the record of a run: whole, and equal bytes for equal records."""
    names = [field.name for field in fields(SourceRecord)]
    sources = [{name: getattr(one, name) for name in names} for one in record]
    text = json.dumps({"format": FORMAT, "sources": sources}, ensure_ascii=False)
    with whole_file(run.studies, REMEDY) as part:
        part.write_bytes(gzip.compress(text.encode(), mtime=0))


def read_studies(run: Run) -> list[SourceRecord]:
    """The record of a run; nothing for a run of an older sm3kit.

    Raises:
        CheckpointError: it is damaged.
    """
    if not run.studies.exists():
        return []
    remedy = "Bring it back, or delete it to do without."
    file = regular_file(run.studies, "record of studies", remedy, CheckpointError)
    try:
        facts = parse(gzip.decompress(file.read_bytes()).decode())
        check_shape(facts, {"format": int, "sources": [SOURCE]})
        return _understood(facts)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, DataError) as error:
        reason = " ".join(str(error).split()).rstrip(".")[:200]
        raise CheckpointError(
            f"{file} is damaged, or no record of studies: {reason}. {remedy}"
        ) from error


def _understood(facts: Mapping[str, Any]) -> list[SourceRecord]:
    if facts["format"] != FORMAT:
        raise DataError(f"it has format {facts['format']} instead of {FORMAT}")
    names = [field.name for field in fields(SourceRecord)]
    found = [SourceRecord(**{name: one[name] for name in names}) for one in facts["sources"]]
    for source in found:
        for entry in source.studies.values():
            for text in chain.from_iterable(entry["images"].values()):
                if not FORM.fullmatch(text):
                    raise DataError(f"{text[:80]!r} says nothing of an image")
    return found


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
