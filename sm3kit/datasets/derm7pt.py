"""Derm7pt: 1011 lesions with a dermoscopic and a clinical photo and the seven-point checklist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sm3kit.core.errors import DataError
from sm3kit.datasets.base import Dataset, LabelSpec, ModalitySpec, Study
from sm3kit.tables.csv_table import Row, Table, as_number, read_table
from sm3kit.tables.joining import join_notes, one_per_key
from sm3kit.tables.spelling import blank_unknown

INDEX_FILES = {
    "train": "train_indexes.csv",
    "val": "valid_indexes.csv",
    "test": "test_indexes.csv",
}
MODALITIES = ("derm", "clinic")


@dataclass(frozen=True)
class Grouping:
    """How the strings of one column become the classes of one label."""

    column: str
    classes: Mapping[str, tuple[str, ...]]
    reported: str

    @property
    def index(self) -> dict[str, int]:
        """{string: class index}."""
        groups = enumerate(self.classes.values())
        return {string: index for index, strings in groups for string in strings}


NEVI = (
    "blue nevus",
    "clark nevus",
    "combined nevus",
    "congenital nevus",
    "dermal nevus",
    "recurrent nevus",
    "reed or spitz nevus",
)
MELANOMAS = (
    "melanoma",
    "melanoma (in situ)",
    "melanoma (less than 0.76 mm)",
    "melanoma (0.76 to 1.5 mm)",
    "melanoma (more than 1.5 mm)",
    "melanoma metastasis",
)
OTHERS = ("dermatofibroma", "lentigo", "melanosis", "miscellaneous", "vascular lesion")
REGULAR_VESSELS = ("arborizing", "comma", "hairpin", "within regression", "wreath")
ABSENT = ("absent",)
REGULARITY = {"ABS": ABSENT, "REG": ("regular",), "IR": ("irregular",)}

GROUPINGS: dict[str, Grouping] = {
    "DIAG": Grouping(
        "diagnosis",
        {
            "BCC": ("basal cell carcinoma",),
            "NEV": NEVI,
            "MEL": MELANOMAS,
            "MISC": OTHERS,
            "SK": ("seborrheic keratosis",),
        },
        "MEL",
    ),
    "PN": Grouping(
        "pigment_network",
        {"ABS": ABSENT, "TYP": ("typical",), "ATP": ("atypical",)},
        "ATP",
    ),
    "BWV": Grouping("blue_whitish_veil", {"ABS": ABSENT, "PRS": ("present",)}, "PRS"),
    "VS": Grouping(
        "vascular_structures",
        {"ABS": ABSENT, "REG": REGULAR_VESSELS, "IR": ("dotted", "linear irregular")},
        "IR",
    ),
    "PIG": Grouping(
        "pigmentation",
        {
            "ABS": ABSENT,
            "REG": ("diffuse regular", "localized regular"),
            "IR": ("diffuse irregular", "localized irregular"),
        },
        "IR",
    ),
    "STR": Grouping("streaks", REGULARITY, "IR"),
    "DaG": Grouping("dots_and_globules", REGULARITY, "IR"),
    "RS": Grouping(
        "regression_structures",
        {"ABS": ABSENT, "PRS": ("blue areas", "white areas", "combinations")},
        "PRS",
    ),
}


class Derm7pt(Dataset):
    """The studies of a Derm7pt release folder, `derm7pt:DIR`, in its official split.

    Source: Kawahara, Daneshvar, Argenziano, Hamarneh 2019, "Seven-point checklist and skin
    lesion classification using multitask multimodal neural nets", IEEE JBHI,
    https://doi.org/10.1109/JBHI.2018.2824327; classes as in the authors' grouping of
    infrequent labels, https://github.com/jeremykawahara/derm7pt.

    The index tables hold row positions, not case numbers; a note names the cases whose row is in
    none of them. A blank, or a word such as NA, is an unknown label, unless it is a class of the
    release. Where the clinical path repeats the
    dermoscopic one, the release has no clinical photo: that modality is missing, unless `repeated`
    says otherwise. 25 pixels are cropped from each border, as in the SM3 code. The metadata and
    the seven-point score are not labels.

    Args:
        argument: the folder that holds `images/` and, beside it or in `meta/`, the tables
            meta.csv, train_indexes.csv, valid_indexes.csv and test_indexes.csv.
        repeated: a clinical path that repeats the dermoscopic one is "missing", or "used" as a
            clinical photo anyway, as in the SM3 paper.

    Raises:
        DataError: a table, column or value is missing or wrong.
    """

    def __init__(self, argument: str, *, repeated: Literal["missing", "used"] = "missing") -> None:
        self.argument = argument
        self.modalities = {name: ModalitySpec("photo", {"border": 25}) for name in MODALITIES}
        self.labels = [
            LabelSpec(name, tuple(grouping.classes), grouping.reported)
            for name, grouping in GROUPINGS.items()
        ]
        folder = Path(argument).expanduser()
        tables = _tables_folder(folder)
        self.label_files = [tables / "meta.csv"]
        meta = read_table(self.label_files[0], "a row per case")
        classes = {grouping.column: grouping.index for grouping in GROUPINGS.values()}
        meta.require(["case_num", *MODALITIES, *classes])
        meta, blanks = blank_unknown(meta, [*classes, *MODALITIES, "case_id"], classes=classes)
        splits, again = _splits(tables, len(meta.rows))
        _check_case_numbers(meta)
        self._studies = [
            _study(meta, position, folder / "images", splits[position], repeated)
            for position in range(len(meta.rows))
            if position in splits
        ]
        left_out = join_notes(
            folder,
            ("rows of meta.csv", [row["case_num"] for row in meta.rows]),
            ("index tables", [study.id for study in self._studies]),
            "these cases are left out",
        )
        self.notes = [*_notes(self._studies, repeated), *left_out, *blanks, *again]

    @classmethod
    def example(cls, folder: Path) -> str:
        """Forty drawn cases in a folder of this layout."""
        from sm3kit.synthesis.layouts import write

        write("derm7pt", folder / "derm7pt", 40, 32)
        return str(folder / "derm7pt")

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, in the order of meta.csv."""
        return [study for study in self._studies if split in (None, study.split)]


def _tables_folder(folder: Path) -> Path:
    for tables in (folder / "meta", folder):
        if (tables / "meta.csv").is_file():
            return tables
    inner = folder / "release_v0"
    remedy = f"Try derm7pt:{inner}." if inner.is_dir() else "Give the folder of the release."
    raise DataError(
        f"There is no meta.csv in {folder} or {folder / 'meta'}. derm7pt:DIR needs a folder with "
        f"images/ and meta/ (meta.csv and three index tables). {remedy}"
    )


def _splits(tables: Path, rows: int) -> tuple[dict[int, str], list[str]]:
    """{row position: split}, and a note on positions that are there twice."""
    entries = []
    for split, name in INDEX_FILES.items():
        table = read_table(tables / name, "row positions of meta.csv in a column 'indexes'")
        table.require(["indexes"])
        for row in table.rows:
            # As a float: Python refuses to make an int of thousands of digits.
            position = as_number(row["indexes"]) if row["indexes"].isdecimal() else -1
            if not 0 <= position < rows:
                raise DataError(
                    f"{table.place(row, 'indexes')}: {row['indexes']!r} is not a row position; "
                    f"meta.csv has the positions 0 to {rows - 1}."
                )
            entries.append((int(position), split, table, row))
    return one_per_key(entries, "indexes", "Remove the position from one of the index tables.")


def _check_case_numbers(meta: Table) -> None:
    seen: dict[str, Row] = {}
    for row in meta.rows:
        number = row["case_num"]
        if not number or number in seen:
            fault = f"{number!r} is also in row {seen[number].number}" if number else "no number"
            raise DataError(f"{meta.place(row, 'case_num')}: {fault}. Each case needs its own.")
        seen[number] = row


def _study(meta: Table, position: int, images: Path, split: str, repeated: str) -> Study:
    row = meta.rows[position]
    paths = {name: str(images / row[name]) for name in MODALITIES if row[name]}
    if row["clinic"] == row["derm"] and repeated == "missing":
        paths.pop("clinic", None)
    labels = {}
    for name, grouping in GROUPINGS.items():
        value = row[grouping.column]
        if value and value not in grouping.index:
            raise meta.wrong(row, grouping.column, grouping.index)
        if value:
            labels[name] = grouping.index[value]
    case = row["case_id"] if "case_id" in meta else ""
    return Study(row["case_num"], paths, labels, case or f"row {position}", split)


def _notes(studies: list[Study], repeated: str) -> list[str]:
    merged = [
        f"{name} {class_name} = {', '.join(strings)}"
        for name, grouping in GROUPINGS.items()
        for class_name, strings in grouping.classes.items()
        if len(strings) > 1
    ]
    missing = sum("clinic" not in study.images for study in studies)
    why = "the dermoscopic path is repeated, or none is given"
    if repeated == "used":
        why = "none is given; a repeated dermoscopic path is used as one"
    return [
        f"Classes merged from several strings: {'; '.join(merged)}.",
        f"{missing} rows have no separate clinical photo ({why}): their clinic modality is "
        "missing.",
        "There is no patient id: cases are grouped by case_id where it is given; other cases are "
        "their own groups.",
    ]
