"""What a look at a data set found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from sm3kit.datasets.base import LabelSpec, Study
from sm3kit.tables.spelling import spelled_alike, spelling_notes


@dataclass(frozen=True)
class Use:
    """One image of one study."""

    study: str
    split: str
    modality: str
    path: str


@dataclass(frozen=True)
class Fault:
    """An image that is missing or cannot be read, and why."""

    use: Use
    reason: str


@dataclass(frozen=True)
class Shared:
    """One file, or files of the same content, used more than once."""

    uses: tuple[Use, ...]

    @property
    def across_splits(self) -> bool:
        """Whether its uses are in several splits."""
        return len({use.split for use in self.uses}) > 1


@dataclass(frozen=True)
class LabelCounts:
    """How often each class of a label occurs: {split: studies per class}, {split: unknown}."""

    label: LabelSpec
    known: Mapping[str, tuple[int, ...]]
    unknown: Mapping[str, int]


@dataclass(frozen=True)
class Sizes:
    """The heights and widths of the images of a modality, in pixels, as they are read."""

    images: int
    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]

    @classmethod
    def of(cls, shapes: Sequence[tuple[int, int]]) -> Sizes:
        """Those of some images, of which there is at least one."""
        heights, widths = zip(*shapes, strict=True)
        return cls(
            images=len(shapes),
            smallest=(min(heights), min(widths)),
            median=(int(median(heights)), int(median(widths))),
            largest=(max(heights), max(widths)),
        )


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Attributes:
        studies: {split: studies}.
        complete: {split: studies with all modalities}.
        modalities: {modality: {split: studies that have it}}.
        labels: the counts of each label.
        sizes: {modality: sizes}; empty if nothing was read.
        missing: images whose file is not there.
        unreadable: images that cannot be read.
        shared: files used more than once, those across splits first.
        leaking: {group: splits} of groups in several splits.
        notes: what the data set says of itself.
        problems: what must be mended, a line each, most serious first.
        warnings: what should be looked at, likewise.
    """

    studies: Mapping[str, int]
    complete: Mapping[str, int]
    modalities: Mapping[str, Mapping[str, int]]
    labels: tuple[LabelCounts, ...]
    sizes: Mapping[str, Sizes]
    missing: tuple[Fault, ...]
    unreadable: tuple[Fault, ...]
    shared: tuple[Shared, ...]
    leaking: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem; warnings may be there."""
        return not self.problems


def spelled_twice(labels: Sequence[LabelSpec], studies: Sequence[Study]) -> list[str]:
    """Notes on classes of a label, and on groups, that are one but for their spelling.

    A class in two spellings is learned as two; a group in two may stand in two splits.
    """
    notes = []
    for label in labels:
        if not spelled_alike(label.classes):
            continue  # Counting takes long for many studies.
        counts = Counter(study.labels.get(label.name) for study in studies)
        named = {name: counts[index] for index, name in enumerate(label.classes)}
        notes += spelling_notes(f"Label {label.name}", named)
    return notes + spelling_notes("Groups", Counter(study.group for study in studies), "groups")
