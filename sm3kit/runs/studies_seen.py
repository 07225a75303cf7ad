"""Studies held against the record of a run: which were trained on, which have other images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sm3kit.core.errors import CheckpointError
from sm3kit.data.cases import Case
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool
from sm3kit.datasets.base import SPLITS
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.studies_record import (
    SourceRecord,
    identity,
    record_of,
    same_image,
    with_earlier,
    write_studies,
)
from sm3kit.tables.joining import first_few

Record = Sequence[SourceRecord]


def cases_trained_on(
    record: Record, pool: Pool, cases: Sequence[Case], images: ImageCache
) -> list[Case]:
    """Those of some cases that were trained on, themselves or another of their patient or lesion.

    A study that the record does not name was trained on if one of its images was.

    Args:
        record: of the run.
        pool: of the cases.
        images: decoded images; a file whose content it knows is not read again.
    """
    known = [_same_source(record, pool, index, images) for index in range(len(pool.sources))]
    return [
        case
        for case in cases
        if _has_part(case, known[case.source])
        or (
            # Doubles among the studies of a data set were there from the start.
            not any(case.study.id in source.studies for source in known[case.source])
            and _shows_what_was_seen(record, pool, case, images)
        )
    ]


def changed_cases(
    record: Record, pool: Pool, cases: Sequence[Case], images: ImageCache
) -> list[Case]:
    """Those of some cases that have other images now than when the run was trained.

    An image that has the size and the time of change of then is not read.
    """
    own = [source for source in record if not source.run]
    known = [_same_source(own, pool, index, images) for index in range(len(pool.sources))]
    return [
        case
        for case in cases
        if any(
            same is False
            for source in known[case.source]
            for same in _same(pool, case, source, images)
        )
    ]


def check_unchanged(run: RunFolder, pool: Pool, cases: Sequence[Case], images: ImageCache) -> None:
    """Refuses to go on with a run on other images than it was begun with.

    Raises:
        CheckpointError: images of its training have been replaced.
    """
    replaced = changed_cases(run.studies(), pool, cases, images)
    if replaced:
        raise CheckpointError(
            f"Images of {run.folder} have been replaced since its training began, those of "
            f"{len(replaced)} of {len(cases)} studies: "
            f"{first_few([case.study.id for case in replaced])}. "
            "Restore them, or start a new run with another --out."
        )


def keep_studies(
    run: RunFolder,
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
    before = run.studies() if kept else []
    if before and run.last.is_file():
        return  # A checkpoint fits no other data.
    record = record_of(pool, splits, images)
    record += [source for source in before if source.run]
    if init is not None and not kept:
        record = with_earlier(record, init, RunFolder(init).studies())
    write_studies(run.studies_file, record)


def _same_source(record: Record, pool: Pool, index: int, images: ImageCache) -> list[SourceRecord]:
    """The records of a data set: of the same name, or of one with a study in common.

    An id in common is not enough: ids may be 1, 2, 3 everywhere.
    """
    spec = pool.sources[index].spec
    kind = spec.partition(":")[0]
    alike = [source for source in record if source.data.partition(":")[0] == kind]
    cases = [case for case in pool.of(SPLITS) if case.source == index]
    return [
        source
        for source in alike
        if source.data == spec
        or any(same is True for case in cases for same in _same(pool, case, source, images))
    ]


def _same(
    pool: Pool, case: Case, source: SourceRecord, images: ImageCache
) -> Iterator[bool | None]:
    """Whether each image of a study is the one of a record; nothing if it does not name it."""
    before = source.studies.get(case.study.id, {"images": {}})["images"]
    for name, paths in case.images.items():
        reader = pool.readers[case.source][name]
        alike = reader.reading == source.readings.get(name)
        for path, fingerprint in zip(paths, before.get(name, ()), strict=False):
            yield same_image(path, reader, images, fingerprint, alike=alike)


def _has_part(case: Case, known: Record) -> bool:
    name, group = case.study.id, case.study.group
    return any(name in source.trained or group in source.groups for source in known)


def _shows_what_was_seen(record: Record, pool: Pool, case: Case, images: ImageCache) -> bool:
    """Whether an image of a study was trained on; few are as large as another, so few are read."""
    readers = pool.readers[case.source]
    for name, paths in case.images.items():
        for path in paths:
            size = (images.size_and_time(path, readers[name]) or (0, 0))[0]
            wanted = set().union(*(source.contents.get(size, ()) for source in record))
            if wanted and identity(path, readers[name], images) in wanted:
                return True
    return False
