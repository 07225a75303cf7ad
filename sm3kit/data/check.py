"""A look at a data set before anything is trained on it: counts, files, sizes, leaks."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sm3kit.core.errors import DataError
from sm3kit.core.files import file_and_part
from sm3kit.core.members import shown
from sm3kit.data.check_report import Fault, LabelCounts, Report, Shared, Sizes, Use, spelled_twice
from sm3kit.datasets.base import SPLITS, UNKNOWN, Dataset, LabelSpec, Study, as_paths
from sm3kit.tables.duplicates import Place, place_of, same_content, same_place
from sm3kit.tables.joining import near_path

if TYPE_CHECKING:
    from sm3kit.modalities.base import Image

THREADS = 4


def check(dataset: Dataset, read: Callable[[str, str], Image] | None = None) -> Report:
    """What can be said of a data set: counts, missing and broken files, shared files, leaks.

    Args:
        dataset: the data set; all its studies are looked at.
        read: `read(modality, path)` gives the image (C, H, W) or raises; None opens no file: what
            is damaged is not found, nor are copies under another name, but for links.
    """
    studies = dataset.studies()
    uses = [
        Use(study.id, study.split, modality, path)
        for study in studies
        for modality, paths in study.images.items()
        for path in as_paths(paths)
    ]
    states, missing, closed = _stat(uses)
    there = [use for use in uses if use.path in states]
    sizes, damaged = _read(there, read) if read else ({}, [])
    # Two parts of one file are two images.
    whole = {path: state for path, state in states.items() if not file_and_part(path)[1]}
    bytes_of = {path: state.bytes for path, state in whole.items()}
    shared = _find_shared(uses, same_content(bytes_of) if read else same_place(whole))
    leaking = _find_leaks(studies)
    labels = tuple(_label_counts(label, studies) for label in dataset.labels)
    warnings = _warnings(studies, shared, labels)
    return Report(
        studies=_per_split(studies),
        complete=_per_split(
            study for study in studies if study.images.keys() >= dataset.modalities.keys()
        ),
        modalities={
            name: _per_split(study for study in studies if name in study.images)
            for name in dataset.modalities
        },
        labels=labels,
        sizes=sizes,
        missing=tuple(missing),
        unreadable=(*closed, *damaged),
        shared=tuple(shared),
        leaking=leaking,
        notes=tuple(note for note in dataset.notes if note not in warnings),
        problems=tuple(_problems(studies, missing, closed + damaged, leaking, shared)),
        warnings=tuple(warnings),
    )


def _per_split(studies: Iterable[Study]) -> dict[str, int]:
    counts = Counter(study.split for study in studies)
    return {split: counts[split] for split in SPLITS}


def _label_counts(label: LabelSpec, studies: list[Study]) -> LabelCounts:
    counts = Counter((study.split, study.labels.get(label.name, UNKNOWN)) for study in studies)
    indices = range(len(label.classes))
    return LabelCounts(
        label,
        {split: tuple(counts[split, index] for index in indices) for split in SPLITS},
        {split: counts[split, UNKNOWN] for split in SPLITS},
    )


def _stat(uses: list[Use]) -> tuple[dict[str, Place], list[Fault], list[Fault]]:
    """{path: state} of what can be opened, what is not there, and what is not to be opened."""
    states, missing, closed = {}, [], []
    for use in uses:
        try:
            states[use.path] = place_of(file_and_part(use.path)[0])
        except DataError as error:
            closed.append(Fault(use, str(error)))
        except (OSError, ValueError) as error:
            missing.append(Fault(use, getattr(error, "strerror", "") or "No file has such a name"))
    return states, missing, closed


def _read(
    uses: list[Use], read: Callable[[str, str], Image]
) -> tuple[dict[str, Sizes], list[Fault]]:
    """The sizes per modality, and the images that cannot be read."""

    def shape_or_reason(use: Use) -> tuple[int, int] | str:
        try:
            height, width = read(use.modality, use.path).shape[-2:]
        except DataError as error:
            return str(error)
        # A plugin may fail in its own way; the check goes on and says how.
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return int(height), int(width)

    executor = ThreadPoolExecutor(THREADS)
    try:
        answers = list(executor.map(shape_or_reason, uses))
    finally:
        executor.shutdown(cancel_futures=True)
    shapes: dict[str, list[tuple[int, int]]] = defaultdict(list)
    faults = []
    for use, answer in zip(uses, answers, strict=True):
        if isinstance(answer, str):
            faults.append(Fault(use, answer))
        else:
            shapes[use.modality].append(answer)
    return {name: Sizes.of(sizes) for name, sizes in shapes.items()}, faults


def _find_shared(uses: list[Use], same: Mapping[str, str]) -> list[Shared]:
    by_file = defaultdict(list)
    for use in uses:
        by_file[same.get(use.path) or os.path.normpath(use.path)].append(use)
    shared = [Shared(tuple(uses)) for uses in by_file.values() if len(uses) > 1]
    return sorted(shared, key=lambda file: not file.across_splits)


def _find_leaks(studies: list[Study]) -> dict[str, tuple[str, ...]]:
    splits = defaultdict(set)
    for study in studies:
        splits[study.group].add(study.split)
    return {
        group: tuple(split for split in SPLITS if split in names)
        for group, names in splits.items()
        if len(names) > 1
    }


def _problems(
    studies: list[Study],
    missing: list[Fault],
    unreadable: list[Fault],
    leaking: Mapping[str, tuple[str, ...]],
    shared: list[Shared],
) -> list[str]:
    problems = []
    if not studies:
        problems.append("There is no study.")
    elif not any(study.split == "train" for study in studies):
        problems.append("No study is in train: there is nothing to train on.")
    for what, faults in (("missing", missing), ("unreadable", unreadable)):
        if faults:
            first = faults[0]
            near = near_path(Path(file_and_part(first.use.path)[0])) if what == "missing" else ""
            problems.append(
                f"{_count(len(faults), 'image')} {what}, first {shown(first.use.path)} "
                f"(study {first.use.study}, {first.use.modality}): {first.reason}"
                + (near and f"; {near}")
            )
    if leaking:
        group, splits = next(iter(leaking.items()))
        problems.append(
            f"{_count(len(leaking), 'group')} in several splits, first {group!r} "
            f"in {' and '.join(splits)}: results would be optimistically biased."
        )
    across = [file for file in shared if file.across_splits]
    if across:
        problems.append(
            f"{_shared_text(across, 'in several splits')}: results would be optimistically biased."
        )
    bare = [study.id for study in studies if not study.images]
    if bare:
        problems.append(
            f"{_count(len(bare), 'study', 'studies')} without any image, first {bare[0]}."
        )
    return problems


def _warnings(
    studies: list[Study], shared: list[Shared], labels: tuple[LabelCounts, ...]
) -> list[str]:
    warnings = []
    within = [file for file in shared if not file.across_splits]
    if within:
        warnings.append(f"{_shared_text(within, 'more than once in one split')}.")
    counts = _per_split(studies)
    warnings += [f"No study is in {split}." for split in ("val", "test") if not counts[split]]
    warnings += spelled_twice([counted.label for counted in labels], studies)
    for counted in labels:
        if not counted.label.reported:
            continue
        reported = counted.label.classes.index(counted.label.reported)
        empty = [split for split in SPLITS if counts[split] and not counted.known[split][reported]]
        if empty:
            warnings.append(
                f"Label {counted.label.name}: no study of {' or '.join(empty)} is of the reported "
                f"class {counted.label.reported}."
            )
    return warnings


def _shared_text(shared: list[Shared], where: str) -> str:
    first, second = shared[0].uses[:2]
    return (
        f"{_count(len(shared), 'file')} used {where}, first {shown(first.path)} "
        f"({first.study}, {first.modality}, {first.split}; "
        f"{second.study}, {second.modality}, {second.split})"
    )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def check_spec(spec: str, options: Mapping[str, Mapping[str, Any]], read: bool = True) -> Report:
    """Checks the data set behind `name` or `name:argument`; images are read at full size.

    Args:
        spec: what a user gives to --data.
        options: {plugin or modality: {option: value}}.
        read: open every image.

    Raises:
        SM3Error: the data set cannot be listed at all.
    """
    from sm3kit.data.specs import open_dataset

    dataset = open_dataset(spec, options)
    if not read:  # Without torch, whose import would take longest.
        return check(dataset)
    from sm3kit.data.pool import whole_image_readers
    from sm3kit.modalities.base import read_image

    readers = whole_image_readers(dataset, options)
    return check(dataset, lambda name, path: read_image(path, readers[name]))
