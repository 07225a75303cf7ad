"""MILK10k: lesions with a clinical and a dermoscopic photo and eleven diagnoses."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sm3kit.core import ranges
from sm3kit.core.errors import DataError, OptionError
from sm3kit.core.names import unknown
from sm3kit.datasets.base import Dataset, LabelSpec, ModalitySpec, Study, WeakScores
from sm3kit.tables.csv_table import Row, Table, as_number, class_name, read_table
from sm3kit.tables.joining import join_notes, one_per_key
from sm3kit.tables.photos import FilesBeside
from sm3kit.tables.spelling import blank_unknown
from sm3kit.tables.splits import split_groups

IMAGE_TYPES = {"dermoscopic": "derm", "clinical: close-up": "clinic"}
DIAGNOSIS = LabelSpec(
    "DIAG",
    ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC"),
    "MEL",
)
SITES = ("foot", "genital", "hand", "head_neck_face", "lower_extremity", "trunk", "upper_extremity")
# The name of each of these is its column.
CATEGORIES = (
    LabelSpec("diagnosis_1", ("Benign", "Indeterminate", "Malignant"), "Malignant"),
    LabelSpec("skin_tone_class", ("0", "1", "2", "3", "4", "5"), "4"),
    LabelSpec("site", SITES, "head_neck_face"),
    LabelSpec("sex", ("female", "male"), "male"),
)
CONCEPTS = {
    "MONET_ulceration": "MONET_ulceration_crust",
    "MONET_hair": "MONET_hair",
    "MONET_vessels": "MONET_vasculature_vessels",
    "MONET_erythema": "MONET_erythema",
    "MONET_pigmented": "MONET_pigmented",
    "MONET_gel": "MONET_gel_water_drop_fluid_dermoscopy_liquid",
    "MONET_pen": "MONET_skin_markings_pen_ink_purple_pen",
}
PREFIX = "MILK10k_Training_"
BY_LESION, FLAT = f"{PREFIX}Input", "images_train"


@dataclass(frozen=True)
class Layout:
    """Where one copy of the data keeps its tables and images.

    Attributes:
        by_image: tables with a row per image; the last has lesion and type of image.
        truth: a row per lesion, its diagnosis one-hot; it may be absent.
        images: the folder of the images, flat or with a folder per lesion.
    """

    by_image: tuple[Path, ...]
    truth: Path
    images: Path

    def folder(self, lesion: str) -> Path:
        """The folder of the images of a lesion."""
        return self.images / lesion if self.images.name == BY_LESION else self.images


class Milk10k(Dataset):
    """The lesions of a MILK10k folder, `milk10k:DIR`, split by lesion and diagnosis.

    Source: MILK study team, "MILK10k: A Hierarchical Multimodal Imaging-Learning Toolkit for
    Diagnosing Pigmented and Nonpigmented Skin Cancer and its Simulators", ISIC Archive,
    https://doi.org/10.34970/648456.

    Labels: DIAG (11 classes); diagnosis_1 where the table of the archive has it; skin tone,
    site and sex; and seven MONET concepts, cut at a threshold. The concept scores are machine-made
    and differ between the two photos of a lesion; those of the dermoscopic photo are used. They are
    offered as weak labels, too, of those concepts that are not among the labels.
    A blank, or a word such as NA, is unknown. Tables are joined by lesion and image id: if no id
    matches, the folder is refused, and a note names the ids that are in one table only.
    An image is ISIC_ID.jpg, or a file of this name with another case or suffix (.jpeg, .png).
    The reported class is MEL, Malignant, or present for concepts, and elsewhere a frequent one.

    Args:
        argument: a folder as the challenge or the ISIC Archive gives it, or a flat copy:
            `images_train/` beside or below the tables of the challenge.
        labels: the labels to use; by default all that the tables have.
        monet_threshold: the score from which a concept counts as present, 0 to 1; our choice.
        val: share of the lesions for validation; there is no official split.
        test: share of the lesions for testing.
        split_seed: a different seed gives a different split.

    Raises:
        DataError: a folder, table, column or value is missing or wrong.
        OptionError: a label that is not there, or shares that leave nothing to train on.
    """

    def __init__(
        self,
        argument: str,
        *,
        labels: tuple[str, ...] = (),
        monet_threshold: ranges.Share = 0.5,
        val: ranges.ShareBelowOne = 0.15,
        test: ranges.ShareBelowOne = 0.2,
        split_seed: ranges.Seed = 0,
    ) -> None:
        self.argument = argument
        self.modalities = {name: ModalitySpec("photo") for name in IMAGE_TYPES.values()}
        layout = _layout(Path(argument).expanduser())
        self.label_files = [*layout.by_image, layout.truth]
        tables, notes = _by_image(layout)
        lesions = _lesions(tables[-1])
        diagnoses, truth = _diagnoses(layout.truth, lesions)
        known = _label_specs(tables)
        self.labels = _choose(known, labels)
        values = {"DIAG": diagnoses}
        for spec in known[1:]:
            of_image = _values(tables, spec, monet_threshold)
            values[spec.name] = _by_lesion(spec, of_image, lesions)
        strata = {lesion: str(diagnoses.get(lesion)) for lesion in lesions}
        splits = split_groups(strata, val=val, test=test, seed=split_seed)
        self._studies, files, place = [], FilesBeside(), str(tables[-1].path)
        for lesion, images in sorted(lesions.items()):
            folder = layout.folder(lesion)
            paths = {
                name: files.find(folder, f"{image}.jpg", place) for name, image in images.items()
            }
            names = [spec.name for spec in self.labels if lesion in values[spec.name]]
            classes = {name: values[name][lesion] for name in names}
            self._studies.append(Study(lesion, paths, classes, lesion, splits[lesion]))
        self.notes = [*_notes(known, monet_threshold), *notes, *truth, *files.notes()]
        self._tables, self._lesions = tables, lesions

    @classmethod
    def example(cls, folder: Path) -> str:
        """Forty drawn lesions in a folder of the challenge's layout."""
        from sm3kit.synthesis.layouts import write

        write("milk10k", folder / "milk10k", 40, 32)
        return str(folder / "milk10k")

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, in the order of their lesion ids."""
        return [study for study in self._studies if split in (None, study.split)]

    def weak_scores(self) -> dict[str, WeakScores]:
        """The scores of the concepts, as log-odds; their labels are made from them."""
        return _concept_scores(self._tables, self._lesions)


def _layout(folder: Path) -> Layout:
    supplements = folder / "supplements"
    if (folder / "metadata.csv").is_file():
        more = supplements / "training_input.csv"
        tables = [more] if more.is_file() else []
        truth = supplements / "training_gt.csv"
        return Layout((*tables, folder / "metadata.csv"), truth, folder / "images")
    # The folder may be that of the images, the tables one level up.
    above = [folder.parent] if folder.name in (BY_LESION, FLAT) else []
    for place in (folder, *above):
        metadata = place / f"{PREFIX}Metadata.csv"
        if metadata.is_file():
            known = [place / BY_LESION, place / FLAT]
            images = next((images for images in known if images.is_dir()), place)
            return Layout((metadata,), place / f"{PREFIX}GroundTruth.csv", images)
    raise DataError(
        f"{folder} does not have the layout of MILK10k. milk10k:DIR needs {PREFIX}Metadata.csv and "
        f"{PREFIX}GroundTruth.csv with {BY_LESION}/ or {FLAT}/ (challenge), or metadata.csv with "
        "images/ and supplements/ (ISIC Archive)."
    )


def _by_image(layout: Layout) -> tuple[list[Table], list[str]]:
    """The tables with a row per image, unknown values blank, and notes on how they fit."""
    read = [read_table(path, "a row per image") for path in layout.by_image]
    specs = _label_specs(read)[1:]
    classes = {spec.name: spec.classes for spec in specs if spec.name not in CONCEPTS}
    tables, notes = [], []
    for table in read:
        table.require(["isic_id"])
        rows, again = one_per_key(
            ((row["isic_id"], row, table, row) for row in table.rows),
            "isic_id",
            "Each image needs one row, and an id.",
        )
        columns = [_column(spec) for spec in specs]
        once = replace(table, rows=tuple(rows.values()))
        table, blanks = blank_unknown(once, columns, classes=classes)
        tables.append(table)
        notes += [*again, *blanks]
    ids = [
        (f"rows of {table.path.name}", [row["isic_id"] for row in table.rows]) for table in tables
    ]
    for first, last in zip(ids, ids[1:], strict=False):
        notes += join_notes(read[-1].path.parent, first, last)
        notes += join_notes(read[-1].path.parent, last, first, "some labels are unknown")
    return tables, notes


def _lesions(metadata: Table) -> dict[str, dict[str, str]]:
    """{lesion: {modality: image id}}."""
    metadata.require(["lesion_id", "image_type"])
    lesions: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in metadata.rows:
        if not row["lesion_id"]:
            raise DataError(f"{metadata.place(row, 'lesion_id')}: no id. Each image needs one.")
        if row["image_type"] not in IMAGE_TYPES:
            raise metadata.wrong(row, "image_type", IMAGE_TYPES)
        other = lesions[row["lesion_id"]].setdefault(IMAGE_TYPES[row["image_type"]], row)
        if other is not row:
            raise DataError(
                f"{metadata.place(row, 'isic_id')}: {row['isic_id']!r} is a second "
                f"{row['image_type']!r} image of lesion {row['lesion_id']}, after "
                f"{other['isic_id']!r} in row {other.number}. Keep one of them."
            )
    return {
        lesion: {name: row["isic_id"] for name, row in images.items()}
        for lesion, images in lesions.items()
    }


def _diagnoses(truth: Path, lesions: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """{lesion: class index} of those that have a 1, and notes on the others."""
    if not truth.is_file():
        return {}, [f"There is no {truth.name}: the DIAG of all lesions is unknown."]
    read = read_table(truth, "a row per lesion, its diagnosis one-hot")
    read.require(["lesion_id", *DIAGNOSIS.classes])
    table, notes = blank_unknown(read, DIAGNOSIS.classes)
    hot, again = one_per_key(
        (
            (row["lesion_id"], table.one_hot(row, DIAGNOSIS.classes), table, row)
            for row in table.rows
        ),
        "lesion_id",
        "Keep one row per lesion.",
    )
    ids, known = (f"rows of {truth.name}", hot), ("lesions with images", lesions)
    notes += again + join_notes(truth.parent, ids, known)
    notes += join_notes(truth.parent, known, ids, "their DIAG is unknown")
    silent = [lesion for lesion, name in hot.items() if not name]
    if silent:
        notes.append(f"Rows of {truth.name} without a 1, whose DIAG is unknown: {len(silent)}.")
    return {lesion: DIAGNOSIS.classes.index(name) for lesion, name in hot.items() if name}, notes


def _label_specs(tables: Sequence[Table]) -> list[LabelSpec]:
    """The labels whose column is in one of the tables, DIAG first."""
    concepts = [LabelSpec(name, ("absent", "present"), "present") for name in CONCEPTS]
    specs = (*CATEGORIES, *concepts)
    return [
        DIAGNOSIS,
        *(spec for spec in specs if any(_column(spec) in table for table in tables)),
    ]


def _column(spec: LabelSpec) -> str:
    return CONCEPTS.get(spec.name, spec.name)


def _choose(known: list[LabelSpec], names: tuple[str, ...]) -> list[LabelSpec]:
    for name in names:
        if name not in {spec.name for spec in known}:
            message = unknown("label", name, [spec.name for spec in known])
            raise OptionError(f"The dataset 'milk10k': option 'labels': {message}")
    return [spec for spec in known if not names or spec.name in names]


def _values(tables: Sequence[Table], spec: LabelSpec, threshold: float) -> dict[str, int]:
    """{image id: class index} of one label, from the first table that has its column."""
    column = _column(spec)
    table = next(table for table in tables if column in table)
    values = {}
    for row in table.rows:
        value = class_name(row[column])
        if not value:
            continue
        if spec.name in CONCEPTS:
            values[row["isic_id"]] = int(_score(table, row, column) >= threshold)
        elif value in spec.classes:
            values[row["isic_id"]] = spec.classes.index(value)
        else:
            raise table.wrong(row, column, spec.classes)
    return values


def _score(table: Table, row: Row, column: str) -> float:
    score = as_number(row[column])
    if math.isnan(score):
        raise DataError(
            f"{table.place(row, column)}: {row[column]!r} is not a number. Write one, such as 0.5."
        )
    return score


def _concept_scores(
    tables: Sequence[Table], lesions: dict[str, dict[str, str]]
) -> dict[str, WeakScores]:
    """{concept: log-odds} of the dermoscopic images, of the concepts that have a column."""
    offered = {}
    for name, column in CONCEPTS.items():
        for table in [table for table in tables if column in table][:1]:
            rows = {row["isic_id"]: row for row in table.rows if row[column]}
            shares = {image: _score(table, row, column) for image, row in rows.items()}
            odds = {image: (0.0, _log_odds(share)) for image, share in shares.items()}
            pairs = {lesion: images.get("derm") for lesion, images in lesions.items()}
            scores = {lesion: odds[image] for lesion, image in pairs.items() if image in odds}
            offered[name] = WeakScores(("absent", "present"), scores, makes_label=True)
    return offered


def _log_odds(share: float) -> float:
    within = min(max(share, 1e-6), 1 - 1e-6)
    return math.log(within / (1 - within))


def _by_lesion(
    spec: LabelSpec, of_image: dict[str, int], lesions: dict[str, dict[str, str]]
) -> dict[str, int]:
    """{lesion: class index}, of the dermoscopic image; the clinical one answers for no concept."""
    modalities = ("derm",) if spec.name in CONCEPTS else ("derm", "clinic")
    labels = {}
    for lesion, images in lesions.items():
        known = [of_image[images[name]] for name in modalities if images.get(name) in of_image]
        if known:
            labels[lesion] = known[0]
    return labels


def _notes(known: Sequence[LabelSpec], threshold: float) -> list[str]:
    notes = ["There is no official split and no patient id: the split is by lesion and diagnosis."]
    if any(spec.name in CONCEPTS for spec in known):
        notes.append(
            "The MONET labels are machine-made scores of the dermoscopic image, present from "
            f"{threshold:g} on; the clinical image has others."
        )
    here = {spec.name for spec in known}
    absent = [name for name in ("skin_tone_class", "site", "sex", *CONCEPTS) if name not in here]
    if absent:
        notes.append(f"These labels have no column and are left out: {', '.join(absent)}.")
    return notes
