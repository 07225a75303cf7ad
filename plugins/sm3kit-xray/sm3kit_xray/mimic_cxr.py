"""MIMIC-CXR-JPG: chest X-rays of Beth Israel Deaconess, with findings of two labelers."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from sm3kit.api import (
    DataError,
    Dataset,
    Row,
    Study,
    Table,
    join_notes,
    one_per_key,
    read_table,
    visible_paths,
)
from sm3kit_xray import drawing, findings, views
from sm3kit_xray.findings import Answers, Blank, Policy, Uncertain
from sm3kit_xray.views import Frontal, Key, Shot

PREFIX = "mimic-cxr-2.0.0"
RADIOLOGISTS = "mimic-cxr-*-test-set-labeled.csv*"  # Of 687 studies of the test split.
VIEWS = {"PA": views.PA, "AP": views.AP, "LATERAL": views.LATERAL, "LL": views.LATERAL}
SPLITS = {"train": "train", "validate": "val", "test": "test"}
IDS = ("subject_id", "study_id")
LICENCE = (
    "MIMIC-CXR-JPG is under the PhysioNet Credentialed Health Data License: for users who are "
    "credentialed and trained, and not to be passed on."
)


class MimicCXR(Dataset):
    """The studies of a MIMIC-CXR-JPG folder, `mimic-cxr:DIR`, in the official split.

    Source: Johnson et al. 2019, "MIMIC-CXR-JPG, a large publicly available database of labeled chest
    radiographs", https://arxiv.org/abs/1901.07042; https://doi.org/10.13026/jsn5-t979.

    Images are `files/p10/p<subject>/s<study>/<dicom>.jpg`; the tables lie beside `files/`, compressed
    or not. ViewPosition says which images are frontal (PA, AP) and lateral (LATERAL, LL); a note
    counts those of other positions, which are left out. A study may have several images of one view, of
    which each epoch draws one, and often lacks a view. Groups are patients. The fourteen labels of a study are absent or
    present; they were read from the reports by a program, which also answers -1 (uncertain) or
    nothing (not mentioned). By default -1 is unknown and a blank is absent, for the reasons that
    `chexpert` gives. The labels that radiologists gave to studies of the test split, in
    `mimic-cxr-2.1.0-test-set-labeled.csv`, are not read. Patients whose folder is not there are
    left out, with a note, so that a part of the archive will do.

    Args:
        argument: the folder that holds `files/` and the tables.
        labels: the findings to use; by default all.
        labeler: whose labels: those of the CheXpert labeler, or of NegBio.
        uncertain: what -1 is: unknown, ones (present), or zeros (absent).
        blank: what a finding is that the report does not mention: zeros (absent) or unknown.
        frontal: together makes one modality of PA and AP images; apart makes two, `pa` and `ap`.

    Raises:
        DataError: a folder, table, column or value is missing or wrong.
        OptionError: a finding that is not there.
    """

    def __init__(
        self,
        argument: str,
        *,
        labels: tuple[str, ...] = (),
        labeler: Literal["chexpert", "negbio"] = "chexpert",
        uncertain: Uncertain = "unknown",
        blank: Blank = "zeros",
        frontal: Frontal = "together",
    ) -> None:
        self.argument = argument
        root = Path(argument).expanduser()
        policy = Policy("mimic-cxr", labels, uncertain, blank)
        self.modalities = views.modality_specs(frontal)
        self.labels = policy.specs
        self.label_files = [_table_file(root, labeler)]
        shots, self.notes = _shots(root)
        patients = views.patients_there(shots, lambda parent: [root / parent])
        shots, absent = views.without_absent(root, "patients of the metadata", shots, patients)
        images, counted = views.images_of(shots, frontal, patients)
        self.notes = [LICENCE, *self.notes, *absent, *counted]
        answers, notes = _answers(root, self.label_files[0], images)
        splits, more = _splits(root, images)
        self._studies = [
            views.study(key, paths, policy.labels(answers.get(key, {})), splits[key])
            for key, paths in images.items()
            if key in splits
        ]
        self.notes += [*notes, *more, *policy.notes(answers.values())]
        self.notes += [
            f"{path.name} is not read: the test split, too, has the labels of {labeler}."
            for path in visible_paths(root, RADIOLOGISTS)
        ]

    @classmethod
    def example(cls, folder: Path) -> str:
        """Draws forty patients into a folder, with all four tables, and gives the folder."""
        rng = np.random.default_rng(0)
        metadata, splits, cells = [], [], []
        for visit in drawing.visits(rng, 40):
            subject, study = (
                10_000_000 + 7 * visit.patient,
                50_000_000 + 10 * visit.patient + visit.number,
            )
            split = ("train", "train", "train", "validate", "test")[visit.patient % 5]
            positions = [("PA", "AP")[visit.patient % 2]] * visit.frontals
            for number, view in enumerate([*positions, *["LATERAL"] * visit.laterals]):
                dicom = f"{study:08x}-{number}"
                file = f"files/p{str(subject)[:2]}/p{subject}/s{study}/{dicom}.jpg"
                picture = drawing.chest(rng, visit.present, view == "LATERAL")
                drawing.save(picture, folder / file)
                metadata.append([dicom, subject, study, view])
                splits.append([dicom, study, subject, split])
            cells.append([subject, study, *visit.cells.values()])
        found = [*IDS, *findings.FINDINGS]
        _write(folder, "metadata", ["dicom_id", *IDS, "ViewPosition"], metadata)
        _write(folder, "split", ["dicom_id", "study_id", "subject_id", "split"], splits)
        _write(folder, "chexpert", found, cells)
        _write(folder, "negbio", found, cells)
        return str(folder)

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, in the order of the metadata."""
        return [study for study in self._studies if split in (None, study.split)]


def _write(
    folder: Path, what: str, heading: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
    with gzip.open(folder / f"{PREFIX}-{what}.csv.gz", "wt", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([heading, *rows])


def _table_file(root: Path, what: str) -> Path:
    """The table of a kind, compressed or not; versions of the archive differ in its prefix."""
    found = visible_paths(root, f"mimic-cxr-*-{what}.csv.gz") or visible_paths(
        root, f"mimic-cxr-*-{what}.csv"
    )
    if not found:
        raise DataError(
            f"{root} has no {PREFIX}-{what}.csv.gz. Give the folder of MIMIC-CXR-JPG, which holds "
            "files/ and the tables: mimic-cxr:DIR"
        )
    return found[0]


def _table(root: Path, what: str, columns: Sequence[str]) -> Table:
    table = read_table(_table_file(root, what), "the ids of subjects and studies")
    table.require([*IDS, *columns])
    return table


def _key(table: Table, row: Row) -> Key:
    """The folder of the patient and the study of a row.

    Raises:
        DataError: an id is no number.
    """
    for column in IDS:
        if not (row[column].isascii() and row[column].isdigit()):
            raise DataError(
                f"{table.place(row, column)}: {row[column]!r} is not an id, which is a number."
            )
    subject = row["subject_id"]
    return f"files/p{subject[:2]}/p{subject}", f"s{row['study_id']}"


def _shots(root: Path) -> tuple[list[Shot], list[str]]:
    """The images whose position is known, and notes."""
    table = _table(root, "metadata", ["dicom_id", "ViewPosition"])
    entries = ((row["dicom_id"], row, table, row) for row in table.rows)
    rows, notes = one_per_key(entries, "dicom_id", "Each image needs one row, and an id.")
    others: Counter[str] = Counter()
    shots = []
    for dicom, row in rows.items():
        if "/" in dicom or "\\" in dicom:
            raise DataError(f"{table.place(row, 'dicom_id')}: {dicom!r} is not an id of an image.")
        (folder, study), position = _key(table, row), row["ViewPosition"].upper()
        if position in VIEWS:
            shots.append(Shot(folder, study, VIEWS[position], f"{dicom}.jpg"))
        else:
            others[position or "blank"] += 1
    if not shots:
        raise DataError(
            f"{table.path}, column 'ViewPosition' has no {', '.join(VIEWS)}, but "
            f"{', '.join(list(others)[:3])}. Use the table of the release."
        )
    if others:
        told = ", ".join(f"{count:,} x {word}" for word, count in others.most_common(6))
        notes.append(f"Images of other positions, left out: {others.total():,} ({told}).")
    return shots, notes


def _answers(
    root: Path, path: Path, images: Mapping[Key, object]
) -> tuple[dict[Key, Answers], list[str]]:
    """{study: what its report says} of the studies that have images, and notes."""
    table = read_table(path, "a row per study, with its findings")
    table.require([*IDS, *findings.FINDINGS])
    entries = ((_key(table, row), findings.answers(table, row), table, row) for row in table.rows)
    known, notes = one_per_key(entries, "study_id", "Keep one row per study.")
    ids, rows = (
        ("studies with images", map("/".join, images)),
        (f"rows of {path.name}", map("/".join, known)),
    )
    notes += join_notes(root, ids, rows, "their labels are unknown")
    return {key: said for key, said in known.items() if key in images}, notes


def _splits(root: Path, images: Mapping[Key, object]) -> tuple[dict[Key, str], list[str]]:
    """{study: split}, and a note on studies that have none."""
    table = _table(root, "split", ["split"])
    splits: dict[Key, str] = {}
    for row in table.rows:
        split = SPLITS.get(row["split"].lower())
        if split is None:
            raise table.wrong(row, "split", SPLITS)
        key = _key(table, row)
        if splits.setdefault(key, split) != split:
            raise DataError(
                f"{table.place(row, 'split')}: study {row['study_id']} is in the split {split!r} here, "
                f"and in {splits[key]!r} in another row. Keep a study in one split."
            )
    ids, rows = (
        ("studies with images", map("/".join, images)),
        (f"rows of {table.path.name}", map("/".join, splits)),
    )
    notes = join_notes(root, ids, rows, "they are left out")
    return splits, ["Splits: the official ones of the split table.", *notes]
