"""What the data of a grid list: enough to see that they have changed, without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sm3kit.data.specs import open_dataset
from sm3kit.datasets.base import SPLITS, as_paths, file_names


@dataclass(frozen=True)
class Listing:
    """The studies of some data sets, in short.

    Attributes:
        data: the data sets, each `name` or `name:argument`.
        options: {data set: {option: value}}, only what was set.
        hash: of all ids, file names, labels, groups and splits.
        studies: {split: number}.
        modalities: of all data sets.
    """

    data: tuple[str, ...]
    options: Mapping[str, Mapping[str, Any]]
    hash: str
    studies: Mapping[str, int]
    modalities: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain lists, tables and values, ready for YAML."""
        return {
            "data": list(self.data),
            "options": {name: dict(values) for name, values in self.options.items()},
            "hash": self.hash,
            "studies": dict(self.studies),
            "modalities": list(self.modalities),
        }


def list_data(data: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> Listing:
    """Lists data sets; images are not opened.

    Args:
        data: data sets, each `name` or `name:argument`.
        options: {plugin: {option: value}}; those of other plugins are left out.

    Raises:
        SM3Error: no such data set, unknown options, or data that cannot be listed.
    """
    sets = {spec.partition(":")[0] for spec in data}
    own = {name: dict(values) for name, values in options.items() if name in sets}
    digest = hashlib.blake2b(digest_size=8)
    studies = dict.fromkeys(SPLITS, 0)
    modalities: list[str] = []
    for spec in data:
        dataset = open_dataset(spec, own)
        modalities += dataset.modalities
        digest.update(_line([spec.partition(":")[0], list(dataset.modalities)]))
        digest.update(
            _line([[label.name, list(label.classes), label.reported] for label in dataset.labels])
        )
        for split in SPLITS:
            for study in dataset.studies(split):
                studies[split] += 1
                images = {
                    name: file_names(as_paths(paths))
                    for name, paths in sorted(study.images.items())
                }
                labels = sorted(study.labels.items())
                digest.update(_line([split, study.id, images, labels, study.group]))
    names = tuple(dict.fromkeys(modalities))
    return Listing(tuple(data), own, digest.hexdigest(), studies, names)


def _line(value: Any) -> bytes:
    return json.dumps(value, default=str).encode() + b"\n"
