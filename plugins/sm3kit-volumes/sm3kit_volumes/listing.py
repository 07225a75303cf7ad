"""From cases to studies: splits by patient, classes in order, slices as studies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sm3kit.api import (
    DataError,
    LabelSpec,
    Study,
    class_name,
    rarest,
    split_groups,
)
from sm3kit_volumes.parts import with_part

SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One visit of one patient, as it lies on disk.

    Attributes:
        id: unique within its data set.
        patient: who it is; all studies of a patient stay in one split.
        images: {modality: path}.
        labels: {label: class}, as text; what is unknown is blank or not there. 1.0 is 1.
        split: train, val, test, or empty where it is drawn here.
    """

    id: str
    patient: str
    images: Mapping[str, str]
    labels: Mapping[str, str]
    split: str = ""


@dataclass(frozen=True)
class Listing:
    """The studies of a data set, its labels, and what a user should know of them."""

    studies: list[Study]
    labels: list[LabelSpec]
    notes: list[str]

    def of(self, split: str | None) -> list[Study]:
        """The studies of one split, or all."""
        return [study for study in self.studies if split in (None, study.split)]


def listing(
    cases: Sequence[Case],
    labels: Sequence[str],
    *,
    val: float,
    test: float,
    split_seed: int,
    slices: int,
) -> Listing:
    """The studies of some cases, in their order.

    Args:
        labels: the labels that are wanted; one with fewer than two known classes is left out.
        val, test: shares of the patients, where cases have no split.
        split_seed: another seed gives another split.
        slices: studies that are made of a case, each of one slice of every volume; 1 leaves the
            choice of the slice to the modality.

    Raises:
        DataError: an id stands twice, or a split is not known.
        OptionError: the shares leave nothing to train on, or there is less than one slice.
    """
    for case_id, count in Counter(case.id for case in cases).items():
        if count > 1:
            raise DataError(
                f"The id {case_id!r} occurs {count} times. Each study needs a unique id."
            )
    classes = {
        label: found
        for label in labels
        if len(found := sorted({_class(case, label) for case in cases} - {""}, key=_natural)) > 1
    }
    notes = [
        f"Label {one!r} is left out: it has fewer than two classes."
        for one in labels
        if one not in classes
    ]
    drawn = _drawn([case for case in cases if not case.split], labels, val, test, split_seed)
    if drawn:
        notes.append(
            f"Split by patient, stratified on {labels[0] if labels else 'nothing'}, seed "
            f"{split_seed}."
        )
    studies = []
    for case in cases:
        split = SPLITS.get(case.split.lower(), "") if case.split else drawn[case.patient]
        if not split:
            raise DataError(
                f"Study {case.id!r} is in the split {case.split!r}. Known: {', '.join(SPLITS)}."
            )
        known = {
            label: found.index(name)
            for label, found in classes.items()
            if (name := _class(case, label))
        }
        studies += _sliced(Study(case.id, case.images, known, case.patient, split), slices)
    specs = [LabelSpec(one, tuple(found)) for one, found in classes.items()]
    return Listing(studies, specs, notes)


def _class(case: Case, label: str) -> str:
    return class_name(case.labels.get(label, ""))


def _natural(name: str) -> tuple[float, str]:
    """Numbers by value, before words."""
    try:
        number = float(name)
    except ValueError:
        number = math.inf
    return (math.inf if math.isnan(number) else number), name


def _sliced(study: Study, slices: int) -> list[Study]:
    if slices == 1:
        return [study]
    shares = [f"{100 * (number + 1) / (slices + 1):.3g}%" for number in range(slices)]
    return [
        Study(
            f"{study.id}/{share}",
            {name: with_part(str(path), slice=share) for name, path in study.images.items()},
            study.labels,
            study.group,
            study.split,
        )
        for share in shares
    ]


def _drawn(
    cases: Sequence[Case], labels: Sequence[str], val: float, test: float, seed: int
) -> dict[str, str]:
    """{patient: split}; each class of the first label is spread over all splits."""
    classes = [_class(case, labels[0]) if labels else "" for case in cases]
    strata = rarest([case.patient for case in cases], classes)
    return split_groups(strata, val=val, test=test, seed=seed)
