"""GAMMA: a fundus photograph, an OCT volume and a grade of glaucoma for each case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openpyxl

from sm3kit.api import (
    DataError,
    Dataset,
    LabelSpec,
    ModalitySpec,
    Study,
    blank_unknown,
    join_notes,
    one_per_key,
    ranges,
    read_table,
    split_groups,
    visible_paths,
)
from sm3kit_eye import drawing
from sm3kit_eye.pairing import images_in, natural

IMAGES, TABLE = "multi-modality_images", "glaucoma_grading_training_GT.xlsx"
GRADE = LabelSpec("grade", ("non", "early", "mid_advanced"), "mid_advanced")
STEPS = tuple(
    LabelSpec(f"at_least_{grade}", ("absent", "present"), "present") for grade in GRADE.classes[1:]
)


class Gamma(Dataset):
    """The training cases of a GAMMA folder, `gamma:DIR`, split here by case and grade.

    Source: Wu et al., "GAMMA challenge: Glaucoma grAding from Multi-Modality imAges", Medical
    Image Analysis 90 (2023), 102938.

    A case is a fundus photograph and an OCT volume, whose slices are several images of one
    modality: each epoch draws one, evaluation uses the middle slice. Slices are in the
    order of the numbers in their names. The label is the grade, in three classes; the official
    test cases have no public grade and are not read. A row of the table holds 0 and 1, and a
    blank or a word such as NA where nothing is known. Rows and folders are matched by their
    number, with or without leading zeros; a table that matches no folder is refused, and so are
    two grades of one case.

    Args:
        argument: the folder that holds `training/`, or `training/` itself.
        oct_slices: slices of each volume to use, evenly spaced round the middle one, which is
            always among them; 0 takes all 256, which makes the image cache large.
        ordinal: labels for each step of the grade as well: at least early, at least mid_advanced.
            They add no information to the grade.
        val: share of the cases for validation.
        test: share of the cases for testing.
        split_seed: a different seed gives a different split.

    Raises:
        DataError: a folder, table, column or value is missing or wrong.
        OptionError: shares that leave nothing to train on.
    """

    def __init__(
        self,
        argument: str,
        *,
        oct_slices: ranges.SlicesOrAll = 15,
        ordinal: bool = False,
        val: ranges.ShareBelowOne = 0.15,
        test: ranges.ShareBelowOne = 0.2,
        split_seed: ranges.Seed = 0,
    ) -> None:
        self.argument = argument
        self.modalities = {"fundus": ModalitySpec("fundus"), "oct": ModalitySpec("oct")}
        self.labels = [GRADE, *STEPS] if ordinal else [GRADE]
        folder = _training(Path(argument).expanduser())
        folders = [path for path in visible_paths(folder / IMAGES) if path.is_dir()]
        folders.sort(key=lambda path: natural(path.name))
        found = {path.name: _images(path, oct_slices) for path in folders}
        cases = {case: images for case, images in found.items() if images}
        grades, notes = _grades(folder / TABLE, list(cases))
        strata = {case: str(grades.get(_plain(case))) for case in cases}
        splits = split_groups(strata, val=val, test=test, seed=split_seed)
        self._studies = [
            Study(case, images, _labels(grades.get(_plain(case)), ordinal), case, splits[case])
            for case, images in cases.items()
        ]
        self.notes = ["No case has a patient id, so the split is by case and grade.", *notes]

    @classmethod
    def example(cls, folder: Path) -> str:
        """Draws twelve cases of five slices into a folder, with their table, and gives the folder."""
        rng = np.random.default_rng(0)
        book = openpyxl.Workbook()
        book.active.append(["data", *GRADE.classes])
        for number in range(1, 13):
            name, grade = f"{number:04d}", number % 3
            book.active.append([number, *(int(grade == place) for place in range(3))])
            case = folder / "training" / IMAGES / name
            drawing.save(drawing.fundus(rng, grade > 0), case / f"{name}.jpg")
            for place in range(5):
                drawing.save(drawing.oct(rng, grade > 0), case / name / f"{place}_image.jpg")
        book.save(folder / "training" / TABLE)
        return str(folder)

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, in the order of their numbers."""
        return [study for study in self._studies if split in (None, study.split)]


def spaced(slices: Sequence[str], count: int) -> tuple[str, ...]:
    """That many slices, evenly spaced; the middle one of all is the middle one of these.

    The middle of n is number n // 2, counted from 0; a count of 0, or above n, takes all.
    """
    if not 0 < count < len(slices):
        return tuple(slices)
    step = len(slices) // count
    first = len(slices) // 2 - count // 2 * step
    return tuple(slices[first + place * step] for place in range(count))


def _training(folder: Path) -> Path:
    for place in (folder, folder / "training", folder / "Glaucoma_grading" / "training"):
        if (place / IMAGES).is_dir():
            return place
    raise DataError(
        f"{folder} does not have the layout of GAMMA. gamma:DIR needs training/{IMAGES}/ and "
        f"training/{TABLE}."
    )


def _images(case: Path, oct_slices: int) -> dict[str, str | tuple[str, ...]]:
    photos = tuple(str(path) for path in images_in(case) if path.stem == case.name)
    volume = case / case.name
    slices = [str(path) for path in images_in(volume)] if volume.is_dir() else []
    found: dict[str, str | tuple[str, ...]]
    found = {"fundus": photos, "oct": spaced(slices, oct_slices)}
    return {modality: paths for modality, paths in found.items() if paths}


def _grades(path: Path, cases: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """{case without leading zeros: grade}, and notes; a row without a 1 says nothing."""
    read = read_table(path, "the labels")
    read.require(["data", *GRADE.classes])
    table, notes = blank_unknown(read, GRADE.classes)
    entries = [
        (_plain(row["data"]), table.one_hot(row, GRADE.classes), table, row) for row in table.rows
    ]
    grades, again = one_per_key(entries, "data", "Keep one row per case.")
    rows, folders = (f"rows of {path.name}", grades), ("folders", [_plain(case) for case in cases])
    notes += [*again, *join_notes(path.parent, rows, folders)]
    notes += join_notes(path.parent, folders, rows, "their grade is unknown")
    silent = sum(not grade for grade in grades.values())
    if silent:
        notes.append(f"Rows of {path.name} without a 1, whose grade is unknown: {silent}.")
    return {case: GRADE.classes.index(grade) for case, grade in grades.items() if grade}, notes


def _plain(case: str) -> str:
    """A case without leading zeros: 0001 in the folder is 1 in a spreadsheet."""
    return case.removesuffix(".0").lstrip("0")


def _labels(grade: int | None, ordinal: bool) -> dict[str, int]:
    if grade is None:
        return {}
    steps = {spec.name: int(grade >= step) for step, spec in enumerate(STEPS, start=1)}
    return {GRADE.name: grade, **(steps if ordinal else {})}
