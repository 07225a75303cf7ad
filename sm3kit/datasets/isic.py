"""ISIC Archive: any collection of it, its images brought together by lesion."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from sm3kit.core import ranges
from sm3kit.core.errors import DataError, OptionError
from sm3kit.core.names import list_names, unknown
from sm3kit.datasets.base import Dataset, LabelSpec, ModalitySpec, Study
from sm3kit.tables.classes import are_classes, class_order
from sm3kit.tables.csv_table import Row, Table, as_number, class_name, read_table
from sm3kit.tables.joining import first_few, one_per_key, one_value, visible_paths
from sm3kit.tables.photos import FilesBeside
from sm3kit.tables.spelling import blank_unknown, fold, word_counts
from sm3kit.tables.splits import rarest, split_groups

# All image types of the archive.
KINDS = {
    "dermoscopic": "derm",
    "clinical: close-up": "clinic",
    "clinical: overview": "overview",
    "TBP tile: close-up": "tbp",
    "TBP tile: overview": "tbp_overview",
    "RCM: macroscopic": "rcm_macroscopic",
    "RCM: tile": "rcm_tile",
    "RCM: mosaic": "rcm_mosaic",
}
# What older downloads say.
OLDER_KINDS = {"clinical": "clinic", "overview": "overview"}
IMAGE, KIND, LESION, PATIENT = "isic_id", "image_type", "lesion_id", "patient_id"
LICENCE, ATTRIBUTION = "copyright_license", "attribution"
AGE, AGE_COLUMN = "age", "age_approx"
AGES = {"0-29": 30.0, "30-49": 50.0, "50-69": 70.0, "70+": math.inf}
# Labels by default, if their columns are there and hold classes.
USUAL = (
    *("diagnosis_1", "diagnosis_2", "diagnosis_3", "diagnosis", "benign_malignant"),
    *("melanocytic", "anatom_site_general", "anatom_site_1", "fitzpatrick_skin_type", "sex", AGE),
)
REPORTED = {"diagnosis_1": "Malignant", "benign_malignant": "malignant"}
NO_LABELS = (IMAGE, KIND, LESION, PATIENT, LICENCE, ATTRIBUTION, AGE_COLUMN)
Images = Mapping[str, list[Row]]


class Isic(Dataset):
    """The lesions of a collection of the ISIC Archive, `isic:DIR`, split by patient.

    Source: the ISIC Archive, https://www.isic-archive.com; for example the images of Hospital
    Italiano de Buenos Aires, Ricci Lara et al. 2023, "A dataset of skin lesion images collected in
    Argentina for the evaluation of AI tools in this population", https://doi.org/10.1038/s41597-023-02630-0.

    Images of one lesion_id are one study; several of one kind are kept, and a lesion with one kind
    only lacks the others. An image without a lesion_id is a study of its own. Groups are patients;
    without a patient_id, the lesion. Modalities are the kinds of image that the collection has:
    derm, clinic (close-up), overview, tbp, tbp_overview, rcm_macroscopic, rcm_tile, rcm_mosaic;
    the words of older downloads, `clinical` and `overview`, count as well, in upper or lower case.
    An image is ISIC_ID.jpg, or a file of this name with another case or suffix (.jpeg, .png).

    Labels are columns of the table, their classes in natural order; age is made of `age_approx`, unless
    the table has a column `age`. By default those of diagnosis, melanocytic, site, skin type, sex and
    age, if a class has two studies on average and there are at most 30 classes. Where the images of a
    study contradict each other, the label is unknown. Notes give the licences and whom to name.

    Args:
        argument: the folder with metadata.csv and the images, beside it or in `images/`.
        labels: the labels to use: columns of the table, or age.
        kinds: the modalities to use; by default all that the collection has.
        val: share of the groups for validation; there is no official split.
        test: share of the groups for testing.
        split_seed: a different seed gives a different split.

    Raises:
        DataError: a folder, table, column or value is missing or wrong.
        OptionError: a label or kind that is not there, or shares that leave nothing to train on.
    """

    def __init__(
        self,
        argument: str,
        *,
        labels: tuple[str, ...] = (),
        kinds: tuple[str, ...] = (),
        val: ranges.ShareBelowOne = 0.15,
        test: ranges.ShareBelowOne = 0.2,
        split_seed: ranges.Seed = 0,
    ) -> None:
        self.argument = argument
        folder = Path(argument).expanduser()
        table, self.notes = _read(folder)
        self.label_files = [table.path]
        rows, chosen, left_out = _of_kinds(table, kinds)
        self.modalities = {name: ModalitySpec("photo") for name in chosen}
        images = _by_lesion(table, rows)
        groups = _groups(table, images)
        self.labels, values, told = _labels(table, images, labels)
        first = self.labels[0].name if self.labels else ""
        classes = [str(values[first].get(study, "")) if first else "" for study in images]
        strata = rarest([groups[study] for study in images], classes)
        splits = split_groups(strata, val=val, test=test, seed=split_seed)
        inner = folder / "images"
        place, files = inner if inner.is_dir() else folder, FilesBeside()
        self._studies = [
            Study(
                study,
                _paths(table, place, files, of_study),
                {name: known[study] for name, known in values.items() if study in known},
                groups[study],
                splits[groups[study]],
            )
            for study, of_study in sorted(images.items())
        ]
        by = f"patient{first and f', stratified on {first}'}"
        self.notes += [*_pair_notes(images), *left_out, *files.notes(), *told]
        self.notes += [
            f"There is no official split: split by {by}, seed {split_seed}.",
            _rights(rows),
        ]

    @classmethod
    def example(cls, folder: Path) -> str:
        """Forty drawn lesions in a folder of this layout."""
        from sm3kit.synthesis.layouts import write

        write("isic", folder / "isic", 40, 32)
        return str(folder / "isic")

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, in the order of their ids."""
        return [study for study in self._studies if split in (None, study.split)]


def _read(folder: Path) -> tuple[Table, list[str]]:
    """The table, a row per image, unknown values blank, and notes on it."""
    tables = visible_paths(folder, "*.csv")
    path = folder / "metadata.csv"
    if not path.is_file():
        # The metadata of a collection come under its own name, too.
        if len(tables) != 1:
            raise DataError(
                f"{folder} does not have the layout of the ISIC Archive. isic:DIR needs metadata.csv "
                "with the images beside it or in images/."
            )
        path = tables[0]
    read = read_table(path, "a row per image")
    read.require([IMAGE, KIND])
    optional = [name for name in (LESION, PATIENT, LICENCE, ATTRIBUTION) if name not in read]
    # Every row answers for these, if only with a blank.
    blank = dict.fromkeys(optional, "")
    entries = ((row[IMAGE], row, read, row) for row in read.rows)
    rows, notes = one_per_key(entries, IMAGE, "Each image needs one row, and an id.")
    full = tuple(Row(row.number, {**blank, **row.cells}) for row in rows.values())
    free = [name for name in read.columns if name.casefold() not in NO_LABELS]
    columns = [KIND, LESION, PATIENT, AGE_COLUMN, *free]
    table, blanks = blank_unknown(replace(read, rows=full), columns)
    absent = [f"There is no column {name}." for name in optional]
    return table, [*absent, *notes, *blanks]


def _of_kinds(table: Table, kinds: tuple[str, ...]) -> tuple[list[Row], list[str], list[str]]:
    """The rows of the kinds that are asked for, these kinds, and notes on other rows."""
    for row in table.rows:
        if row[KIND] and not _modality(row[KIND]):
            raise table.wrong(row, KIND, KINDS)
    counts = Counter(_modality(row[KIND]) for row in table.rows)
    known = [name for name in KINDS.values() if counts[name]]
    for name in kinds:
        if name not in known:
            message = unknown("kind of image", name, known)
            raise OptionError(f"The dataset 'isic': option 'kinds': {message}")
    chosen = [name for name in known if not kinds or name in kinds]
    rows = [row for row in table.rows if _modality(row[KIND]) in chosen]
    if not rows:
        raise DataError(f"{table.path}, column {KIND!r} is blank in all rows.")
    notes = [f"Images without an {KIND}, left out: {counts['']}."] if counts[""] else []
    others = [f"{counts[name]} {name}" for name in known if name not in chosen]
    notes += (
        [f"Images of other kinds than isic.kinds, left out: {', '.join(others)}."] if others else []
    )
    return rows, chosen, notes


@lru_cache
def _modality(kind: str) -> str:
    """The modality of a kind of image, "" if there is none."""
    names = {fold(known): name for known, name in (KINDS | OLDER_KINDS).items()}
    return names.get(fold(kind), "")


def _by_lesion(table: Table, rows: Iterable[Row]) -> dict[str, list[Row]]:
    """{study: rows of its images, by id}; an image without a lesion is a study of its own."""
    images = defaultdict(list)
    for row in sorted(rows, key=lambda row: row[IMAGE]):
        images[row[LESION] or row[IMAGE]].append(row)
    for study, of_study in images.items():
        alone = [row for row in of_study if not row[LESION]]
        if alone and len(of_study) > 1:
            raise DataError(
                f"{table.place(alone[0], IMAGE)}: {study!r} is the id of an image without a lesion, "
                "and of a lesion. Rename one."
            )
    return dict(images)


def _groups(table: Table, images: Images) -> dict[str, str]:
    """{study: patient}, or the study itself where no patient is known."""
    patients, several = one_value(
        (study, row[PATIENT]) for study, rows in images.items() for row in rows if row[PATIENT]
    )
    if several:
        rows = [row for row in images[several[0]] if row[PATIENT]]
        other = next(row for row in rows if row[PATIENT] != rows[0][PATIENT])
        raise DataError(
            f"{table.place(other, PATIENT)}: {other[PATIENT]!r}, but the same lesion "
            f"{several[0]!r} is of {rows[0][PATIENT]!r} in row {rows[0].number}. Correct one."
        )
    return {study: patients.get(study, study) for study in images}


def _paths(
    table: Table, folder: Path, files: FilesBeside, rows: Iterable[Row]
) -> dict[str, str | tuple[str, ...]]:
    found = defaultdict(list)
    for row in rows:
        path = files.find(folder, f"{row[IMAGE]}.jpg", table.place(row, IMAGE))
        found[_modality(row[KIND])].append(path)
    return {
        name: tuple(found[name]) if len(found[name]) > 1 else found[name][0]
        for name in KINDS.values()
        if name in found
    }


def _labels(
    table: Table, images: Images, names: tuple[str, ...]
) -> tuple[list[LabelSpec], dict[str, dict[str, int]], list[str]]:
    """The labels, {label: {study: class index}}, and notes on them."""
    free = [name for name in table.columns if name.casefold() not in NO_LABELS]
    known = [*free, *([AGE] if _makes_age(table) else [])]
    for name in names:
        if name not in known:
            raise OptionError(
                f"The dataset 'isic': option 'labels': {unknown('label', name, known)}"
            )
    specs, values, notes, unfit = [], {}, [], []
    for label in names or [name for name in USUAL if name in known]:
        cells, doubtful = one_value(
            (study, cell)
            for study, rows in images.items()
            for cell in (_class(table, row, label) for row in rows)
            if cell
        )
        in_order = label == AGE and _makes_age(table)
        classes = tuple(AGES) if in_order else class_order(set(cells.values()))
        if not names and not are_classes(list(cells.values())):
            unfit.append(f"{label} ({len(set(cells.values()))} values in {len(cells)} studies)")
            continue
        if len(classes) < 2:
            raise DataError(
                f"{table.path}, column {label!r} has {len(classes)} known classes; a label needs two. "
                "Leave it out of -o isic.labels."
            )
        wanted = REPORTED.get(label, "")
        specs.append(LabelSpec(label, classes, wanted if wanted in classes else ""))
        values[label] = {study: classes.index(cell) for study, cell in cells.items()}
        if doubtful:
            notes.append(
                f"Studies whose images contradict each other in {label}, which is unknown there: "
                f"{len(doubtful)} ({first_few(doubtful)})."
            )
    notes += [f"Not used as labels: {list_names(unfit)}."] if unfit else []
    if AGE_COLUMN in table and not _makes_age(table):
        notes.append(f"There is a column {AGE}, so {AGE_COLUMN} is not used.")
    if not specs:
        notes.append(
            "There are no labels: pre-training works, but evaluation with labels does not."
        )
    return specs, values, notes


def _makes_age(table: Table) -> bool:
    """Whether the label age is made of approximate ages; a column of this name comes first."""
    return AGE_COLUMN in table and AGE not in table


def _class(table: Table, row: Row, label: str) -> str:
    """The class that a row says, "" if it says none."""
    if label != AGE or not _makes_age(table):
        return class_name(row[label])
    if not row[AGE_COLUMN]:
        return ""
    age = as_number(row[AGE_COLUMN])
    if math.isnan(age):
        raise DataError(
            f"{table.place(row, AGE_COLUMN)}: {row[AGE_COLUMN]!r} is not a number. Write one, such "
            "as 55."
        )
    return next(name for name, below in AGES.items() if age < below)


def _pair_notes(images: Images) -> list[str]:
    """How many lesions there are, how many have several kinds, and how many ids are lacking."""
    kinds = {study: Counter(_modality(row[KIND]) for row in rows) for study, rows in images.items()}
    lesions = [study for study, rows in images.items() if rows[0][LESION]]
    paired = sum(len(kinds[study]) > 1 for study in lesions)
    repeated = sum(max(counts.values()) > 1 for counts in kinds.values())
    strangers = sum(not any(row[PATIENT] for row in rows) for rows in images.values())
    notes = [
        f"Images are brought together by {LESION}: {len(lesions)} lesions, {paired} of them with "
        f"several kinds of image and {len(lesions) - paired} with one."
    ]
    told = {
        f"Images without a {LESION}, each a study of its own": len(images) - len(lesions),
        "Studies with several images of one kind, of which each epoch draws one": repeated,
        f"Studies without a {PATIENT}, each a group of its own": strangers,
    }
    return notes + [f"{what}: {count}." for what, count in told.items() if count]


def _rights(rows: Sequence[Row]) -> str:
    """The licences of the images, and whom to name."""
    licences = Counter(row[LICENCE] or "no licence" for row in rows)
    owners = Counter(row[ATTRIBUTION] or "nobody" for row in rows)
    few = dict(owners.most_common(5))
    more = f" and {len(owners) - len(few)} more" if len(owners) > len(few) else ""
    return f"Licences: {word_counts(licences)}. Attribution: {word_counts(few)}{more}."
