"""VinDr-Mammo: both views of each breast, with BI-RADS, density and findings."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from sm3kit.api import (
    DataError,
    Dataset,
    ModalitySpec,
    Row,
    Study,
    Table,
    blank_unknown,
    join_notes,
    one_per_key,
    ranges,
    read_table,
    visible_paths,
)
from sm3kit_volumes import examples
from sm3kit_volumes.listing import Case, listing

BREASTS, FINDINGS = "breast-level_annotations.csv", "finding_annotations.csv"
VIEWS = {"CC": "cc", "MLO": "mlo"}
SIDES = ("L", "R")
SPLITS = {"training": "", "test": "test"}  # Validation is drawn from the training exams.
# {label: its column, what its words begin with, and how they end, from low to high}
OF_BREAST = {
    "BI-RADS": ("breast_birads", "BI-RADS ", "0123456"),
    "density": ("breast_density", "DENSITY ", "ABCD"),
}
NO_FINDING = "No Finding"
CATEGORIES = (
    "Mass", "Suspicious Calcification", "Asymmetry", "Focal Asymmetry", "Global Asymmetry",
    "Architectural Distortion", "Suspicious Lymph Node", "Skin Thickening", "Skin Retraction",
    "Nipple Retraction",
)  # fmt: skip
NON_BENIGN = (
    f"{FINDINGS} holds non-benign findings only (BI-RADS 3 and above): 'absent' means that there is "
    "no non-benign finding of this kind, not that there is none."
)
LICENCE = (
    "VinDr-Mammo is under the PhysioNet Restricted Health Data License: for users who have signed "
    "it, and not to be passed on."
)
Breast = tuple[str, str]  # The exam, and the side.


class VinDrMammo(Dataset):
    """The breasts of a VinDr-Mammo folder, `vindr-mammo:DIR`: CC and MLO as a pair.

    Source: Nguyen et al. 2023, "VinDr-Mammo: A large-scale benchmark dataset for computer-aided
    diagnosis in full-field digital mammography", https://doi.org/10.1038/s41597-023-02100-7.

    A study is one breast of an exam; the exam is its group, as there are no ids of patients. The
    layout is `images/<study_id>/<image_id>.dicom` with `breast-level_annotations.csv` and
    `finding_annotations.csv`, which may be absent. Labels: BI-RADS and density of the breast, and
    each category of finding, present if either view shows it, absent if the table has the breast
    without it. The table holds non-benign findings only (BI-RADS 3 and above), so a breast with a
    benign mass is "absent" for Mass. Where two rows of a breast differ in BI-RADS or density, the
    higher counts. A label of one class only is left out. Exams without a folder are left out, with
    a note. The test split is the official one.

    Args:
        argument: the folder with `images/` and the tables.
        val: share of the training exams for validation.
        split_seed: a different seed gives a different validation split.

    Raises:
        DataError: a folder, table, column or value is missing or wrong.
    """

    def __init__(
        self, argument: str, *, val: ranges.ShareBelowOne = 0.15, split_seed: ranges.Seed = 0
    ) -> None:
        self.argument = argument
        root = Path(argument).expanduser()
        self.modalities = {name: ModalitySpec("mammogram") for name in VIEWS.values()}
        self.label_files = [path for path in (root / BREASTS, root / FINDINGS) if path.is_file()]
        table, rows, notes = _breasts(root)
        found, more = _findings(root, rows)
        cases = [
            _case(root, table, breast, rows[breast], found.get(breast)) for breast in sorted(rows)
        ]
        labels = [*OF_BREAST, *(CATEGORIES if found else ())]
        self._listing = listing(cases, labels, val=val, test=0.0, split_seed=split_seed, slices=1)
        self.labels = self._listing.labels
        official = "The test split is the official one; val is drawn from the training exams."
        self.notes = [LICENCE, official, *self._listing.notes, *notes, *more]

    @classmethod
    def example(cls, folder: Path) -> str:
        """Sixteen drawn exams, one of which lacks a view."""
        heads = ["study_id", "series_id", "image_id", "laterality", "view_position"]
        breasts, found = [[*heads, *(OF_BREAST[one][0] for one in OF_BREAST), "split"]], []
        for number in range(16):
            exam = f"{number:032x}"
            for side in SIDES:
                sick = (number + (side == "R")) % 2 == 1
                for view in VIEWS if number else ("CC",):
                    image = f"{number:030x}{side}{view[0]}"
                    picture = examples.breast(number, side, view, sick)
                    file = folder / "images" / exam / f"{image}.dicom"
                    examples.write_mammogram(file, picture, inverted=number % 4 == 1)
                    split = "test" if number % 4 == 3 else "training"
                    ids = [exam, "1.2.3", image, side, view]
                    grades = [f"BI-RADS {4 if sick else 1}", f"DENSITY {'BC'[number // 2 % 2]}"]
                    breasts.append([*ids, *grades, split])
                    found.append([*ids, f"['{'Mass' if sick else NO_FINDING}']"])
        examples.write_csv(folder / BREASTS, breasts)
        examples.write_csv(folder / FINDINGS, [[*heads, "finding_categories"], *found])
        return str(folder)

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, by exam and side."""
        return self._listing.of(split)


def _breasts(root: Path) -> tuple[Table, dict[Breast, list[Row]], list[str]]:
    """The table, {breast: its rows} of the exams that have a folder, and notes."""
    read = read_table(root / BREASTS, "a row per image")
    columns = [column for column, _, _ in OF_BREAST.values()]
    read.require(["study_id", "image_id", "laterality", "view_position", "split", *columns])
    table, notes = blank_unknown(read, columns)
    entries = ((row["image_id"], row, table, row) for row in table.rows)
    by_image, again = one_per_key(entries, "image_id", "Each image needs one row, and an id.")
    rows = defaultdict[Breast, list[Row]](list)
    for row in by_image.values():
        rows[_breast(table, row)].append(row)
    there = {path.name for path in visible_paths(root / "images")}
    exams = (f"exams of {BREASTS}", [exam for exam, _ in rows])
    absent = join_notes(root, exams, ("folders in images/", there), "they are left out")
    kept = {breast: of_breast for breast, of_breast in rows.items() if breast[0] in there}
    return table, kept, [*notes, *again, *absent]


def _breast(table: Table, row: Row) -> Breast:
    side = row["laterality"].upper()
    if side not in SIDES:
        raise table.wrong(row, "laterality", SIDES)
    for column in ("study_id", "image_id"):
        if not row[column] or set(row[column]) & set("/\\#"):
            raise DataError(
                f"{table.place(row, column)}: {row[column]!r} is not an id, which names a file or "
                "folder below images/. Correct the cell."
            )
    return row["study_id"], side


def _findings(
    root: Path, breasts: Mapping[Breast, object]
) -> tuple[dict[Breast, set[str]], list[str]]:
    """{breast: the categories that either view shows}, and notes; nothing without a table."""
    if not (root / FINDINGS).is_file():
        return {}, [f"There is no {FINDINGS}, so that findings are no labels."]
    table = read_table(root / FINDINGS, "a row per finding")
    table.require(["study_id", "image_id", "laterality", "finding_categories"])
    found = defaultdict[Breast, set[str]](set)
    for row in table.rows:
        found[_breast(table, row)] |= _categories(table, row)
    ids = ("breasts with images", ["/".join(breast) for breast in breasts])
    told = (f"breasts of {FINDINGS}", ["/".join(breast) for breast in found])
    unknown = join_notes(root, ids, told, "their findings are unknown")
    return dict(found), [NON_BENIGN, *unknown]


def _categories(table: Table, row: Row) -> set[str]:
    """The categories of a cell such as "['Mass', 'Skin Retraction']"; none of No Finding."""
    try:
        names = ast.literal_eval(row["finding_categories"])
        known = isinstance(names, list) and set(names) <= {*CATEGORIES, NO_FINDING}
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        known = False
    if not known:
        raise DataError(
            f"{table.place(row, 'finding_categories')}: {row['finding_categories']!r} is not a list "
            f"of findings, such as ['Mass']. Known: {', '.join((*CATEGORIES, NO_FINDING))}."
        )
    return set(names) - {NO_FINDING}


def _case(
    root: Path, table: Table, breast: Breast, rows: Sequence[Row], found: set[str] | None
) -> Case:
    exam, side = breast
    images: dict[str, str] = {}
    for row in rows:
        view = VIEWS.get(row["view_position"].upper())
        if view is None:
            raise table.wrong(row, "view_position", VIEWS)
        if view in images:
            raise DataError(
                f"{table.place(row, 'view_position')}: exam {exam} has a second {row['view_position']} "
                f"image of the side {side}. Keep one of them."
            )
        images[view] = str(root / "images" / exam / f"{row['image_id']}.dicom")
    splits = {row["split"].lower() for row in rows}
    if not splits <= set(SPLITS):
        raise table.wrong(
            next(r for r in rows if r["split"].lower() not in SPLITS), "split", SPLITS
        )
    if len(splits) > 1:
        raise DataError(
            f"{table.place(rows[-1], 'split')}: the images of one breast are in several splits, "
            f"{' and '.join(sorted(splits))}. Keep them in one."
        )
    labels = {
        name: max(_grade(table, row, *words) for row in rows) for name, words in OF_BREAST.items()
    }
    if found is not None:
        labels |= {name: ("absent", "present")[name in found] for name in CATEGORIES}
    return Case(f"{exam}/{side}", exam, images, labels, SPLITS[splits.pop()])


def _grade(table: Table, row: Row, column: str, start: str, ends: str) -> str:
    """The number or letter at the end of BI-RADS 4 or DENSITY C, blank where unknown."""
    grade = row[column].upper().removeprefix(start)
    if grade and grade not in list(ends):
        raise table.wrong(row, column, [f"{start}{end}" for end in ends])
    return grade
