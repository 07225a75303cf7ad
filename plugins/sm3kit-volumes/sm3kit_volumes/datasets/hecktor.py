"""HECKTOR: PET-CT of head and neck tumours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sm3kit.api import (
    UNKNOWN_WORDS,
    DataError,
    Dataset,
    ModalitySpec,
    Row,
    Study,
    Table,
    blank_unknown,
    class_name,
    join_notes,
    one_per_key,
    ranges,
    read_table,
    visible_paths,
)
from sm3kit_volumes import examples
from sm3kit_volumes.listing import Case, listing
from sm3kit_volumes.parts import on_grid_of

FILE = re.compile(r"(?P<patient>.+)__(?P<kind>CT|PT)\.nii\.gz")
KINDS = {"CT": "ct", "PT": "pet"}
# Headings, as letters and digits only, and the names of the labels.
LABELS = {"hpvstatus": "HPV", "mstage": "M-stage", "relapse": "relapse"}


class Hecktor(Dataset):
    """CT and FDG PET of the 2025 layout, `hecktor:DIR`; a study is a patient.

    The folder is that of the release, with `Task 1`, `Task 2` ..., or of one task; a patient of
    several tasks is taken once. Labels come from all `HECKTOR_2025_Training_Task_*.csv` by their
    column PatientID; blanks are unknown, and tables that contradict each other, or name none of the
    patients, are refused. The two images have grids of their own, so one is resampled to the other on
    reading; they then are registered.

    Source: https://hecktor25.grand-challenge.org.

    Args:
        argument: the folder.
        grid: ct resamples the PET to the grid of the CT, pet the CT to that of the PET, none
            leaves both as they are.
        val: share of the patients for validation.
        test: share of the patients for testing.
        split_seed: a different seed gives a different split.
        slices: studies that are made of a patient, each of one slice at its own height.
        unknown: words for an unknown label, in upper or lower case.

    Raises:
        DataError: the folder does not hold the layout, pairs different people, or its tables do
            not fit.
    """

    def __init__(
        self,
        argument: str,
        *,
        grid: Literal["ct", "pet", "none"] = "ct",
        val: ranges.ShareBelowOne = 0.15,
        test: ranges.ShareBelowOne = 0.2,
        split_seed: ranges.Seed = 0,
        slices: ranges.Slices = 1,
        unknown: tuple[str, ...] = UNKNOWN_WORDS,
    ) -> None:
        self.argument = argument
        root = Path(argument).expanduser()
        patients = _patients(root)
        known, notes = _labels(root, sorted(patients), unknown)
        cases = [
            Case(
                patient,
                patient,
                _on_grid(images, grid),
                {name: classes.get(patient, "") for name, classes in known.items()},
            )
            for patient, images in sorted(patients.items())
        ]
        self._listing = listing(
            cases, list(LABELS.values()), val=val, test=test, split_seed=split_seed, slices=slices
        )
        frame = "" if grid == "none" else grid
        self.modalities = {name: ModalitySpec(name, frame=frame) for name in ("ct", "pet")}
        self.labels = self._listing.labels
        self.notes = [*self._listing.notes, *notes]

    @classmethod
    def example(cls, folder: Path) -> str:
        """A small folder of one task, with a PET on a coarser grid and a label that is missing."""
        task = folder / "Task 1"
        lines = ["PatientID,M-stage,Relapse,HPV Status"]
        for number in range(8):
            patient = f"CHUM-{number:03d}"
            stem = task / patient / patient
            examples.write_scan(Path(f"{stem}__CT.nii.gz"), examples.hounsfield(number))
            coarse = examples.uptake(number)[::2, ::2]
            examples.write_scan(Path(f"{stem}__PT.nii.gz"), coarse, (4.0, 4.0, 5.0))
            hpv = "" if number == 0 else str(float(number % 2))
            lines.append(f"{patient},M{number // 4},{number // 2 % 2},{hpv}")
        (task / "HECKTOR_2025_Training_Task_1.csv").write_text("\n".join(lines), encoding="utf-8")
        return str(folder)

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, by patient."""
        return self._listing.of(split)


def _patients(root: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for file in visible_paths(root, "**/*__*.nii.gz"):
        if not (match := FILE.fullmatch(file.name)):
            continue
        patient = match["patient"]
        if file.parent.name != patient:
            raise DataError(
                f"{file} pairs different people: the file is of {patient!r}, the folder of "
                f"{file.parent.name!r}. Move it to its own folder."
            )
        found.setdefault(patient, {}).setdefault(KINDS[match["kind"]], str(file))
    if not found:
        raise DataError(
            f"{root} holds no HECKTOR 2025: no <patient>/<patient>__CT.nii.gz or __PT.nii.gz. Give "
            "the folder of the release, or of a task."
        )
    return found


def _on_grid(images: dict[str, str], grid: str) -> dict[str, str]:
    if grid == "none" or grid not in images:
        return images
    return {n: p if n == grid else on_grid_of(p, images[grid]) for n, p in images.items()}


def _labels(
    root: Path, patients: Sequence[str], unknown: Sequence[str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """{label: {patient: class}} over the tables of all tasks, and notes."""
    told: dict[str, list[tuple[str, str, Table, Row]]] = {name: [] for name in LABELS.values()}
    named, notes = [], []
    for path in visible_paths(root, "**/HECKTOR_2025_Training_Task_*.csv"):
        table = read_table(path, "a row per patient")
        table.require(["PatientID"])
        labels = {
            heading: LABELS[letters]
            for heading in table.columns
            if (letters := "".join(filter(str.isalnum, heading.lower()))) in LABELS
        }
        table, blanks = blank_unknown(table, labels, unknown, option="hecktor.unknown")
        notes += blanks
        named += [row["PatientID"] for row in table.rows]
        for heading, name in labels.items():
            told[name] += [
                (row["PatientID"], class_name(row[heading]), table, row)
                for row in table.rows
                if row[heading]
            ]
    known = {}
    for name, entries in told.items():
        known[name], again = one_per_key(entries, "PatientID", f"Keep one {name} of a patient.")
        notes += again
    if named:
        rows, images = ("patients of the tables", named), ("patients with images", patients)
        notes += join_notes(root, rows, images)
        notes += join_notes(root, images, rows, "their labels are unknown")
    return known, list(dict.fromkeys(notes))
