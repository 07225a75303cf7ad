"""The predictions of one model on one split, checked once and kept in one file."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.core.errors import DataError
from sm3kit.core.files import whole_file
from sm3kit.core.names import suggestion
from sm3kit.core.plain_json import parse
from sm3kit.metrics.calls import called_classes

Array = npt.NDArray[Any]
FORMAT = 1
DAMAGED = (
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, eq=False)
class LabelScores:
    """Scores and truth of one label.

    Attributes:
        classes: the names of the C classes in the order of the columns.
        reported: the class that is reported against the rest; "" reports the mean of all.
        scores: (N, C), softmax probabilities; kept as float64.
        truth: (N,), the index of the class, -1 where unknown; kept as int64.
        thresholds: (C,), from which probability on a case is called each class, as for
            `called_classes`; None calls the most likely one.
    """

    classes: tuple[str, ...]
    reported: str
    scores: Array
    truth: Array
    thresholds: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float64))
        object.__setattr__(self, "truth", np.asarray(self.truth, np.int64))
        if self.thresholds is not None:
            object.__setattr__(self, "thresholds", np.asarray(self.thresholds, np.float64))

    @property
    def reported_index(self) -> int:
        """The column of the reported class; there is none where the mean is reported."""
        return self.classes.index(self.reported)

    @property
    def called(self) -> Array:
        """Which classes each case is called, (N, C) bool."""
        return called_classes(self.scores, self.thresholds)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says about every label of every case, and what is true.

    Attributes:
        labels: {name: scores and truth}.
        ids: (N,), the name of each case; no two are equal.
        groups: (N,), the patient or lesion that a case belongs to; drawn as a whole in a
            bootstrap.
        min_positives: cases that a class wants to enter the mean of its label, 1 or more, and as
            many of other classes.

    Raises:
        DataError: parts that do not fit together, or scores that are no numbers.
    """

    labels: Mapping[str, LabelScores]
    ids: Array
    groups: Array
    min_positives: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", dict(self.labels))
        object.__setattr__(self, "ids", np.asarray(self.ids).astype(np.str_))
        object.__setattr__(self, "groups", np.asarray(self.groups).astype(np.str_))
        _check_cases(self)
        for name, label in self.labels.items():
            _check_label(name, label, self.ids)

    def take(self, rows: Array) -> Predictions:
        """The predictions of some cases, in the order of `rows` (n,)."""
        labels = {
            name: replace(label, scores=label.scores[rows], truth=label.truth[rows])
            for name, label in self.labels.items()
        }
        return replace(self, labels=labels, ids=self.ids[rows], groups=self.groups[rows])

    def save(self, path: Path) -> None:
        """Writes an .npz of plain arrays that is whole or not there."""
        names = [
            {"name": name, "classes": label.classes, "reported": label.reported}
            for name, label in self.labels.items()
        ]
        arrays = {"ids": self.ids, "groups": self.groups}
        for place, label in enumerate(self.labels.values()):
            arrays |= {f"scores_{place}": label.scores, f"truth_{place}": label.truth}
            if label.thresholds is not None:
                arrays[f"thresholds_{place}"] = label.thresholds
        facts = {"format": FORMAT, "labels": names, "min_positives": self.min_positives}
        about = np.array(json.dumps(facts))
        with whole_file(Path(path)) as part, part.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, about=about, **arrays)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """The predictions that `save` has written.

        Raises:
            DataError: there is no such file, or it is damaged.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(f"There are no predictions at {path}. Evaluate the run again.")
        try:
            return _read(path)
        except (DataError, *DAMAGED) as error:
            raise DataError(
                f"{path} is damaged, or is not a file of predictions: {error}. Evaluate the run again."
            ) from error


def _read(path: Path) -> Predictions:
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
        if broken:
            raise ValueError(f"{broken} has changed")
    with np.load(path, allow_pickle=False) as file:
        about = parse(str(file["about"]))
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']!r} instead of {FORMAT}")
        labels = {
            label["name"]: LabelScores(
                tuple(label["classes"]),
                label["reported"],
                file[f"scores_{place}"],
                file[f"truth_{place}"],
                file.get(f"thresholds_{place}"),
            )
            for place, label in enumerate(about["labels"])
        }
        least = int(about.get("min_positives", 1))  # Older files have none.
        return Predictions(labels, file["ids"], file["groups"], least)


def _check_cases(predictions: Predictions) -> None:
    ids, groups = predictions.ids, predictions.groups
    if not len(ids) or not predictions.labels:
        raise DataError(
            f"Predictions need at least one case and one label, not {len(ids)} cases and "
            f"{len(predictions.labels)} labels. Choose a split that has studies with labels."
        )
    if len(groups) != len(ids):
        raise DataError(f"{len(ids)} cases need as many groups, not {len(groups)}.")
    names, counts = np.unique(ids, return_counts=True)
    if len(names) < len(ids):
        raise DataError(
            f"The id {str(names[counts.argmax()])!r} occurs {counts.max()} times. "
            "Give each case its own id."
        )


def _check_label(name: str, label: LabelScores, ids: Array) -> None:
    count, classes = len(ids), label.classes
    if label.scores.shape != (count, len(classes)) or label.truth.shape != (count,):
        raise DataError(
            f"Label {name!r} needs scores ({count}, {len(classes)}) and truth ({count},), "
            f"not {label.scores.shape} and {label.truth.shape}."
        )
    if label.thresholds is not None and label.thresholds.shape != (len(classes),):
        raise DataError(
            f"Label {name!r} needs a threshold for each of its {len(classes)} classes, not "
            f"{label.thresholds.shape}."
        )
    if len(set(classes)) < len(classes):
        raise DataError(f"Label {name!r} names a class twice: {', '.join(classes)}. Rename one.")
    if label.reported and label.reported not in classes:
        raise DataError(
            f"Label {name!r} has no class {label.reported!r} to report. "
            f"{suggestion(label.reported, classes)}Its classes: {', '.join(classes)}."
        )
    wrong = np.flatnonzero(~np.isfinite(label.scores).all(1))
    if len(wrong):
        raise DataError(
            f"The scores of label {name!r} are not finite for {len(wrong)} of {count} cases, "
            f"first {str(ids[wrong[0]])!r}. The training has diverged: lower its learning rate."
        )
    strange = np.flatnonzero((label.truth < -1) | (label.truth >= len(classes)))
    if len(strange):
        raise DataError(
            f"The truth of label {name!r} must be from 0 to {len(classes) - 1}, or -1 if unknown, not "
            f"{label.truth[strange[0]]} (case {str(ids[strange[0]])!r}). Check its table."
        )
