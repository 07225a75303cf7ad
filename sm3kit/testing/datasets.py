"""The laws of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sm3kit.datasets.base import SPLITS, UNKNOWN, Dataset, as_paths
from sm3kit.testing.every_plugin import check_documented
from sm3kit.testing.law import Laws, Plugin, require


@dataclass(frozen=True)
class DatasetTrial:
    """A data set class, what would follow the colon, and the options to build it with."""

    plugin: Plugin
    argument: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Dataset:
        """The data set."""
        dataset: Dataset = self.plugin(self.argument, **self.options)
        return dataset


LAWS: Laws[DatasetTrial] = Laws()


def check_dataset(plugin: Plugin, argument: str, **options: Any) -> None:
    """Lists studies in a stable order, with known splits, labels and modalities.

    Args:
        plugin: the data set class.
        argument: what would follow the colon on the command line.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    LAWS.enforce(DatasetTrial(plugin, argument, options), plugin)


@LAWS.law("builds", first=True)
def builds(trial: DatasetTrial) -> None:
    """It can be opened, and lists studies."""
    require(bool(trial.build().studies()), "lists no study")


@LAWS.law("order")
def stable_order(trial: DatasetTrial) -> None:
    """The studies come in the same order each time."""
    same = trial.build().studies() == trial.build().studies()
    require(same, "lists a different order each time")


@LAWS.law("splits")
def splits_add_up(trial: DatasetTrial) -> None:
    """Every study is in one split: train, val or test."""
    dataset = trial.build()
    studies = dataset.studies()
    for study in studies:
        require(study.split in SPLITS, f"has a split {study.split!r}")
    parts = [study for split in SPLITS for study in dataset.studies(split)]
    same = sorted(study.id for study in parts) == sorted(study.id for study in studies)
    require(same, "has splits that do not add up")


@LAWS.law("ids")
def unique_ids(trial: DatasetTrial) -> None:
    """No id is there twice, and every study has a group."""
    studies = trial.build().studies()
    require(len({study.id for study in studies}) == len(studies), "has ids twice")
    for study in studies:
        require(bool(study.group), f"has no group for study {study.id}")


@LAWS.law("labels")
def declared_classes(trial: DatasetTrial) -> None:
    """Labels and their classes are declared, and a reported class is one of them."""
    dataset = trial.build()
    classes = {label.name: len(label.classes) for label in dataset.labels}
    for label in dataset.labels:
        require(label.reported in ("", *label.classes), f"reports no class of {label.name!r}")
    for study in dataset.studies():
        for name, value in study.labels.items():
            require(name in classes, f"has an undeclared label {name!r} in study {study.id}")
            known = UNKNOWN <= value < classes[name]
            require(known, f"has {name} = {value} in study {study.id}")


@LAWS.law("weak labels")
def weak_scores(trial: DatasetTrial) -> None:
    """Weak labels score each class of known studies, with the classes of the label of their name."""
    dataset = trial.build()
    classes = {label.name: label.classes for label in dataset.labels}
    ids = {study.id for study in dataset.studies()}
    for name, weak in dataset.weak_scores().items():
        same = weak.classes == classes.get(name, weak.classes)
        require(same, f"has weak labels of {name!r} with other classes than the label")
        require(set(weak.scores) <= ids, f"has weak labels of {name!r} for unknown studies")
        for study, row in weak.scores.items():
            fits = len(row) == len(weak.classes)
            require(fits, f"has {len(row)} scores of {name!r} for study {study}")


@LAWS.law("missing images")
def declared_modalities(trial: DatasetTrial) -> None:
    """Modalities are declared; a missing image is left out, several are a tuple of paths."""
    dataset = trial.build()
    for study in dataset.studies():
        require(set(study.images) <= set(dataset.modalities), "has undeclared modalities")
        for name, images in study.images.items():
            paths = as_paths(images)
            good = bool(paths) and all(isinstance(path, str) and path for path in paths)
            require(good, f"has {name} = {images!r} in study {study.id}; leave it out")
