"""TOPCON-MM: eyes with any number of fundus photographs and B-scans, and eleven findings."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from sm3kit.api import (
    DataError,
    Dataset,
    LabelSpec,
    ModalitySpec,
    Row,
    Study,
    blank_unknown,
    class_name,
    join_notes,
    one_per_key,
    ranges,
    read_table,
    split_groups,
)
from sm3kit_eye import drawing
from sm3kit_eye.pairing import Key, images_in, key_of, pair_by_key

MODALITIES = ("fundus", "oct")
PATTERN = r"(?P<patient>.+)-(?P<eye>[^-]+)-(?P<scan>[^-]+)"
EYE = ("patient", "eye")


class Findings(NamedTuple):
    """What one table says.

    Attributes:
        labels: the columns of labels, in order.
        others: the columns that hold something else.
        said: {eye: what each of its rows says, {label: 0 or 1}}; what is unknown is not in it.
        notes: on unknown words, and on rows that are there twice.
    """

    labels: list[str]
    others: list[str]
    said: dict[Key, list[dict[str, int]]]
    notes: list[str]


class TopconMM(Dataset):
    """The eyes of a TOPCON-MM folder, `topcon-mm:DIR`, split here by patient.

    Source: Wang et al., "Fundus-Enhanced Disease-Aware Distillation Model for Retinal Disease
    Classification from OCT Images", MICCAI 2023, https://arxiv.org/abs/2308.00291.

    An eye is a study. Images are called `[patient]-[eye]-[scan]`, and all photographs of an eye
    belong to all its B-scans: each epoch draws one of each, evaluation uses the middle one. An eye may lack a modality.

    The labels are the columns of 0 and 1 in `fundus_labels.csv` and `oct_labels.csv`, under the
    names they have there. A finding is present in an eye if a row of any of its images says so,
    in either table; absent if rows say so and none says present; unknown where no row says
    anything. A column that says that nothing was found (option `normal`) is the reverse: present
    only if no row says absent. So an eye that is normal in one image but not in another is not
    normal. A blank, or a word such as NA, is unknown. A table without any eye of the folders
    is refused; a note names the eyes of a table that have no image.

    Args:
        argument: the folder with `fundus_images/`, `oct_images/` and the two tables.
        labels_of: whose labels count: those of both tables, or of one.
        normal: columns that say that nothing was found; upper and lower case are the same.
        val: share of the patients for validation.
        test: share of the patients for testing.
        split_seed: a different seed gives a different split.

    Raises:
        DataError: a folder, table, column, name or value is missing or wrong.
        OptionError: shares that leave nothing to train on.
    """

    def __init__(
        self,
        argument: str,
        *,
        labels_of: Literal["both", "fundus", "oct"] = "both",
        normal: tuple[str, ...] = ("normal", "nor", "healthy"),
        val: ranges.ShareBelowOne = 0.15,
        test: ranges.ShareBelowOne = 0.2,
        split_seed: ranges.Seed = 0,
    ) -> None:
        self.argument = argument
        folder = Path(argument).expanduser()
        self.modalities = {name: ModalitySpec(name) for name in MODALITIES}
        files = {name: images_in(folder / f"{name}_images") for name in MODALITIES}
        eyes = pair_by_key(files, PATTERN, EYE)
        heard = [name for name in MODALITIES if labels_of in ("both", name)]
        tables = {f"{name}_labels.csv": _findings(folder / f"{name}_labels.csv") for name in heard}
        names = list(dict.fromkeys(name for table in tables.values() for name in table.labels))
        self.labels = [LabelSpec(name, ("absent", "present"), "present") for name in names]
        known, present = {}, defaultdict[str, set[str]](set)
        for eye in eyes:
            rows = [row for table in tables.values() for row in table.said.get(eye, [])]
            known[eye] = _combined(rows, names, {word.casefold() for word in normal})
            present[eye[0]] |= {name for name, value in known[eye].items() if value}
        splits = split_groups(_rarest(present), val=val, test=test, seed=split_seed)
        self._studies = [
            Study("-".join(eye), images, known[eye], eye[0], splits[eye[0]])
            for eye, images in eyes.items()
        ]
        self.notes = _notes(folder, self._studies, tables)

    @classmethod
    def example(cls, folder: Path) -> str:
        """Draws sixteen patients into a folder, with both tables, and gives the folder."""
        rng = np.random.default_rng(0)
        for name, draw in (("fundus", drawing.fundus), ("oct", drawing.oct)):
            rows: list[list[object]] = [["image", "normal", "exudation", "fluid"]]
            for number in range(1, 17):
                exudation, fluid = number % 2 == 0, number % 3 == 0
                for eye in "LR" if number % 4 else "R":
                    # The left eye of patient 5 was only photographed.
                    scans = 0 if (name, number, eye) == ("oct", 5, "L") else rng.integers(1, 4)
                    for scan in range(1, scans + 1):
                        image = f"{number}-{eye}-{scan}"
                        sick = fluid if name == "oct" else exudation
                        drawing.save(draw(rng, sick), folder / f"{name}_images" / f"{image}.png")
                        rows.append([image, *map(int, (not exudation | fluid, exudation, fluid))])
            with (folder / f"{name}_labels.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(rows)
        return str(folder)

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, in the order of patient and eye."""
        return [study for study in self._studies if split in (None, study.split)]


def _findings(path: Path) -> Findings:
    read = read_table(path, "the labels")
    table, _ = blank_unknown(read, read.columns)
    image = next((one for one in table.columns if _names_images(table.rows, one)), "")
    others = [column for column in table.columns if column != image]
    labels = [column for column in others if _holds_flags(table.rows, column)]
    if not (image and labels):
        raise DataError(
            f"{path} needs a column of names [patient]-[eye]-[scan] and columns of 0 and 1. "
            f"Its columns: {', '.join(table.columns)}."
        )
    table, notes = blank_unknown(read, labels)
    entries = []
    for row in table.rows:
        if key_of(row[image], PATTERN, EYE) is None:
            raise DataError(
                f"{table.place(row, image)}: {row[image]!r} is not a name of the form "
                "[patient]-[eye]-[scan]. Correct it, or remove the row."
            )
        flags = {label: table.flag(row, label) for label in labels}
        entries.append((row[image], flags, table, row))
    by_image, again = one_per_key(entries, image, "Keep one row per image.")
    said = defaultdict[Key, list[dict[str, int]]](list)
    for name, flags in by_image.items():
        known = {label: flag for label, flag in flags.items() if flag is not None}
        said[key_of(name, PATTERN, EYE) or ()].append(known)
    unread = [column for column in others if column not in labels]
    return Findings(labels, unread, said, [*notes, *again])


def _names_images(rows: Sequence[Row], column: str) -> bool:
    return 2 * sum(key_of(row[column], PATTERN, EYE) is not None for row in rows) > len(rows)


def _holds_flags(rows: Sequence[Row], column: str) -> bool:
    """Whether more than half of the known cells of a column are 0 or 1."""
    known = [class_name(row[column]) for row in rows if row[column]]
    return 2 * sum(cell in ("0", "1") for cell in known) > len(known)


def _combined(
    rows: Sequence[Mapping[str, int]], names: Sequence[str], normal: set[str]
) -> dict[str, int]:
    """{label: class} of an eye, from what the rows of its images say."""
    heard = {name: [row[name] for row in rows if name in row] for name in names}
    return {
        name: min(values) if name.casefold() in normal else max(values)
        for name, values in heard.items()
        if values
    }


def _notes(folder: Path, studies: Sequence[Study], tables: Mapping[str, Findings]) -> list[str]:
    both = sum(len(study.images) == len(MODALITIES) for study in studies)
    notes = [
        f"{both} of {len(studies)} eyes have images of both modalities.",
        f"A finding is present in an eye if {' or '.join(tables)} marks it in any of its images.",
        "There is no official split: split by patient, stratified on the rarest finding.",
    ]
    silent = sum(not study.labels for study in studies)
    if silent:
        notes.append(f"Eyes without any label: {silent}.")
    images = ("eyes with images", [study.id for study in studies])
    for name, table in tables.items():
        rows = (f"eyes of {name}", ["-".join(eye) for eye in table.said])
        notes += [*table.notes, *join_notes(folder, rows, images)]
        if table.others:
            notes.append(f"{name}: not used as labels: {', '.join(table.others)}.")
    return notes


def _rarest(present: Mapping[str, AbstractSet[str]]) -> dict[str, str]:
    """{patient: the rarest of its labels}, "" where it has none.

    Args:
        present: {patient: the labels that are present}.
    """
    counts = Counter(label for labels in present.values() for label in labels)
    return {
        patient: min(labels, key=lambda label: (counts[label], label), default="")
        for patient, labels in present.items()
    }
