"""Any data set is packed into tar shards, from which it is read as before: `shards:DIR`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.files import file_and_part, regular_file, whole_folder
from sm3kit.core.members import TOO_LARGE, taken_apart
from sm3kit.core.names import unknown
from sm3kit.data.specs import open_dataset
from sm3kit.datasets.base import UNKNOWN, Dataset, Study, WeakScores, as_paths
from sm3kit.tables.shard_file import Limits, Packing, plain, write_shards

if TYPE_CHECKING:
    from sm3kit.modalities.base import Modality

LEAVE_OUT = "Name the modalities to pack with --modality, without this one."


class Packed(NamedTuple):
    """What was written: studies, shards, and the bytes of all shards."""

    studies: int
    shards: int
    bytes: int


def pack(
    spec: str,
    options: Mapping[str, Mapping[str, Any]],
    folder: Path,
    *,
    only: Sequence[str] = (),
    most_bytes: int = Limits.bytes,
    most_studies: int | None = None,
) -> Packed:
    """Packs the data set behind `name` or `name:argument`; the folder is whole or not there.

    Ids, groups, splits, labels with their classes, modality plugins, weak labels and notes stay as
    they are, and so do the bytes of images.

    Args:
        spec: what a user gives to --data.
        options: {plugin or modality: {option: value}}.
        folder: to make; it may exist if it is empty.
        only: modalities to pack; empty packs all.
        most_bytes: of a shard.
        most_studies: of a shard; None packs as many as fit.

    Raises:
        DataError: `folder` is not empty, or a modality cannot be read from shards, or an image is
            missing.
        SM3Error: the data set cannot be listed, or the disk is full.
    """
    from sm3kit.data.pool import whole_image_readers

    dataset = open_dataset(spec, options)
    for name in only:
        if name not in dataset.modalities:
            raise VariantError(unknown("modality", name, dataset.modalities))
    chosen = [name for name in dataset.modalities if not only or name in only]
    studies = dataset.studies()
    readers = whole_image_readers(dataset, options)
    _refuse(studies, {name: readers[name] for name in chosen})
    weak = dataset.weak_scores()
    packings = _packings(dataset, studies, chosen, weak)
    limits = Limits(most_bytes, most_studies or len(studies))
    with whole_folder(folder) as part:
        name = plain(spec.partition(":")[0])
        facts = _facts(dataset, chosen, weak)
        shards = write_shards(part, name, facts, packings, limits)
        size = sum(shard.stat().st_size for shard in shards)
    return Packed(len(studies), len(shards), size)


def _refuse(studies: Sequence[Study], readers: Mapping[str, Modality]) -> None:
    """Refuses what no shard can hold, before anything is written.

    Raises:
        DataError: an image is missing, is a folder or several files, or a part of a file of many
            studies, which would be copied for each.
    """
    if not studies:
        raise DataError("There is no study to pack.")
    owner: dict[str, str] = {}
    for study in studies:
        for name in study.images.keys() & readers.keys():
            for path in as_paths(study.images[name]):
                file, part = file_and_part(path)
                where = f"study {study.id}, {name}"
                _one_file(path, where, readers[name])
                if part and owner.setdefault(file, study.id) != study.id:
                    raise DataError(
                        f"{where}: {path} is a part of a file of many studies, and a shard would "
                        f"hold a copy of the file for each. {LEAVE_OUT}"
                    )


def _one_file(path: str, where: str, reader: Modality) -> None:
    files = list(reader.files(path))
    if len(files) != 1:
        raise DataError(
            f"{where}: {path} is read from {len(files)} files, and an image in a shard is one. "
            f"{LEAVE_OUT}"
        )
    if (taken := taken_apart(files[0])) is not None:
        regular_file(taken[0], "shard", "Check the path.", DataError)
    elif Path(files[0]).is_dir():
        raise DataError(
            f"{where}: {path} is a folder, and an image in a shard is one file. {LEAVE_OUT}"
        )
    else:
        file = regular_file(files[0], "image", f"It is of {where}; check the data.", DataError)
        if file.stat().st_size >= TOO_LARGE:
            raise DataError(
                f"{where}: {path} has 8 GiB or more, and a shard holds smaller files. {LEAVE_OUT}"
            )


def _facts(
    dataset: Dataset, modalities: Sequence[str], weak: Mapping[str, WeakScores]
) -> dict[str, Any]:
    """What is known of a data set, for JSON."""
    specs = {name: dataset.modalities[name] for name in modalities}
    return {
        "modalities": {
            name: {"plugin": spec.plugin, "options": dict(spec.options), "frame": spec.frame}
            for name, spec in specs.items()
        },
        "labels": [
            {"name": label.name, "classes": list(label.classes), "reported": label.reported}
            for label in dataset.labels
        ],
        "weak": {
            name: {"classes": list(scores.classes), "makes_label": scores.makes_label}
            for name, scores in weak.items()
        },
        "notes": list(dataset.notes),
    }


def _packings(
    dataset: Dataset,
    studies: Sequence[Study],
    modalities: Sequence[str],
    weak: Mapping[str, WeakScores],
) -> Iterator[Packing]:
    classes = {label.name: label.classes for label in dataset.labels}
    for study in studies:
        labels = {
            name: classes[name][value] for name, value in study.labels.items() if value != UNKNOWN
        }
        facts = {"id": study.id, "group": study.group, "split": study.split, "labels": labels}
        scores = {
            name: [None if math.isnan(score) else float(score) for score in of.scores[study.id]]
            for name, of in weak.items()
            if study.id in of.scores
        }
        images = {name: as_paths(study.images[name]) for name in modalities if name in study.images}
        yield Packing({**facts, **({"weak": scores} if scores else {})}, images)
