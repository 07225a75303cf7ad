"""The contract of data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from sm3kit.core.files import file_and_part
from sm3kit.core.members import file_name

SPLITS = ("train", "val", "test")
UNKNOWN = -1
# What two classes are called where the second is what one looks for.
OPPOSITES = (
    *(("0", "1"), ("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t")),
    *(("absent", "present"), ("abs", "prs"), ("negative", "positive"), ("neg", "pos")),
    *(("-", "+"), ("benign", "malignant"), ("normal", "abnormal"), ("healthy", "diseased")),
)


@dataclass(frozen=True)
class Study:
    """One case.

    Attributes:
        id: unique within its data set.
        images: {modality: path}; a modality that is missing is not in it. Where a study has
            several images of one modality, a tuple of paths: each epoch draws one of them, and
            evaluation takes the one in the middle. A path may name a part of its file after `#`.
        labels: {label: class index}; a label that is unknown is not in it, or -1.
        group: what must stay in one split: patient, else lesion, else the id.
        split: "train", "val" or "test".
    """

    id: str
    images: Mapping[str, str | tuple[str, ...]]
    labels: Mapping[str, int]
    group: str
    split: str


@dataclass(frozen=True)
class LabelSpec:
    """One label.

    Attributes:
        name: of the label.
        classes: in index order.
        reported: the class that results report against the rest. By default the positive one of
            two opposites, such as "no" and "yes"; otherwise "", which reports the mean over the
            classes.
    """

    name: str
    classes: tuple[str, ...]
    reported: str = ""

    def __post_init__(self) -> None:
        if not self.reported:
            object.__setattr__(self, "reported", positive_class(self.classes))


def positive_class(classes: Sequence[str]) -> str:
    """The positive one of two classes that are opposites, in any case and order; else ""."""
    for negative, positive in OPPOSITES:
        if sorted(map(str.casefold, classes)) == sorted((negative, positive)):
            return next(name for name in classes if name.casefold() == positive)
    return ""


@dataclass(frozen=True)
class ModalitySpec:
    """Which modality plugin reads the images of one name, and with which options.

    Attributes:
        plugin: name of the modality plugin.
        options: {option: value} for it; the user's own are stronger.
        frame: modalities of one data set with the same word here are registered: a place in one
            image is the same place in the other. Empty where nothing is known.
    """

    plugin: str = "photo"
    options: Mapping[str, Any] = field(default_factory=dict)
    frame: str = ""


@dataclass(frozen=True)
class WeakScores:
    """What a machine or a rule says of a label; nobody has checked it.

    Attributes:
        classes: in index order; where the data set has a label of this name, those of the label.
        scores: {study id: a score for each class}, like logits; NaN where unknown.
        makes_label: whether the data set makes its own label of this name from these scores.
    """

    classes: tuple[str, ...]
    scores: Mapping[str, Sequence[float]]
    makes_label: bool = False


class Dataset:
    """Lists studies; never loads an image itself. Built as `Dataset(argument, **options)`.

    Attributes:
        argument: what follows the colon of `name:argument`.
        modalities: {modality: how it is read}.
        labels: the labels, in the order of results.
        notes: what a user should know of how the data were taken, a line each.
        label_files: the files that labels are read from; weak labels may not come from them.
        suffixes: endings of the files that an argument may name; they tell which data set is meant
            where a user gives a file alone.
    """

    argument: str
    modalities: Mapping[str, ModalitySpec]
    labels: Sequence[LabelSpec]
    notes: Sequence[str] = ()
    label_files: Sequence[Path] = ()
    suffixes: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def example(cls, folder: Path) -> str:
        """Writes a small example into a folder and gives its `argument`; the laws are tried on it."""
        raise NotImplementedError

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split ("train", "val", "test"), or all, in a stable order.

        Raises:
            DataError: a folder, table, column or value is missing or wrong; the message names it.
        """
        raise NotImplementedError

    def weak_scores(self) -> Mapping[str, WeakScores]:
        """{label: scores} that may guide the pseudo-labels of stage 2; most data sets have none."""
        return {}


def as_paths(images: str | tuple[str, ...]) -> tuple[str, ...]:
    """The paths of one modality of a study, one or several."""
    return (images,) if isinstance(images, str) else tuple(images)


def file_names(paths: Sequence[str]) -> str | list[str]:
    """The names of the files of one modality of a study, and their parts, without folders.

    A member of a tar file has its own name, whichever file it lies in.
    """
    names = []
    for path in paths:
        file, part = file_and_part(path)
        names.append(f"{file_name(file)}#{part}" if part else file_name(file))
    return names[0] if len(names) == 1 else names
