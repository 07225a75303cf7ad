"""AutoPET: whole-body PET-CT with FDG and PSMA."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from sm3kit.api import (
    UNKNOWN_WORDS,
    DataError,
    Dataset,
    ModalitySpec,
    Study,
    blank_unknown,
    join_notes,
    one_per_key,
    ranges,
    read_table,
    visible_paths,
)
from sm3kit_volumes import examples
from sm3kit_volumes.listing import Case, listing

FILE = re.compile(
    r"(?P<tracer>[^_]+)_(?P<patient>[^_]+)_(?P<study>.+)_(?P<channel>000[01])\.nii\.gz"
)
CHANNELS = {"0000": "ct", "0001": "pet"}
OLDER = {"CTres.nii.gz": "ct", "SUV.nii.gz": "pet"}


class AutoPET(Dataset):
    """PET in SUV and the CT on its grid, `autopet:DIR`; a study is one visit of a patient.

    Two layouts: that of autoPET III and later (`imagesTr/<tracer>_<patient>_<study>_0000.nii.gz`
    CT, `_0001` SUV), and the older `<patient>/<study>/{CTres,SUV}.nii.gz`. Labels: the tracer,
    and the diagnosis from `fdg_metadata.csv`, `psma_metadata.csv` or any other CSV beside
    the images with the columns Subject ID and diagnosis, joined by patient and date. Two diagnoses
    of one visit are refused, and so are tables that name none of the patients; notes count who is
    in one place alone. Both images are registered.

    Source: Gatidis et al. 2022, https://doi.org/10.1038/s41597-022-01718-3; Jeblick et al. 2024,
    https://doi.org/10.57754/FDAT.6gjsg-zcg93.

    Args:
        argument: the folder.
        val: share of the patients for validation.
        test: share of the patients for testing.
        split_seed: a different seed gives a different split.
        slices: studies that are made of a visit, each of one slice at its own height.
        unknown: words for an unknown diagnosis, in upper or lower case.

    Raises:
        DataError: the folder holds neither layout, or its tables do not fit.
    """

    def __init__(
        self,
        argument: str,
        *,
        val: ranges.ShareBelowOne = 0.15,
        test: ranges.ShareBelowOne = 0.2,
        split_seed: ranges.Seed = 0,
        slices: ranges.Slices = 1,
        unknown: tuple[str, ...] = UNKNOWN_WORDS,
    ) -> None:
        self.argument = argument
        root = Path(argument).expanduser()
        visits = _nnunet(root) or _older(root)
        if not visits:
            raise DataError(
                f"{root} holds no AutoPET: neither imagesTr/<tracer>_<patient>_<study>_0000.nii.gz "
                "nor <patient>/<study>/CTres.nii.gz and SUV.nii.gz. Give the folder above them."
            )
        diagnoses, notes = _diagnoses(root, [patient for _, patient, _ in visits], unknown)
        cases = [
            Case(
                "_".join(filter(None, (tracer, patient, study))),
                patient,
                images,
                {"diagnosis": _diagnosis(diagnoses[patient], study), "tracer": tracer},
            )
            for (tracer, patient, study), images in sorted(visits.items())
        ]
        undated = sum(bool(diagnoses[c.patient]) and not c.labels["diagnosis"] for c in cases)
        if undated:
            notes.append(
                "Visits without a row of their date, whose patient has several diagnoses, so that "
                f"theirs is unknown: {undated}."
            )
        self._listing = listing(
            cases, ("diagnosis", "tracer"), val=val, test=test, split_seed=split_seed, slices=slices
        )
        self.modalities = {name: ModalitySpec(name, frame="pet") for name in ("ct", "pet")}
        self.labels = self._listing.labels
        self.notes = [*self._listing.notes, *notes]

    @classmethod
    def example(cls, folder: Path) -> str:
        """A small folder of the newer layout."""
        lines = ["Subject ID,Study Date,diagnosis"]
        for number in range(8):
            tracer = ("fdg", "psma")[number % 2]
            stem = folder / "imagesTr" / f"{tracer}_{number:04x}_2020-01-0{number + 1}"
            examples.write_scan(Path(f"{stem}_0000.nii.gz"), examples.hounsfield(number))
            examples.write_scan(Path(f"{stem}_0001.nii.gz"), examples.uptake(number))
            illness = ("MELANOMA", "NEGATIVE")[number // 2 % 2]
            lines.append(f"PETCT_{number:04x},2020-01-0{number + 1},{illness}")
        (folder / "fdg_metadata.csv").write_text("\n".join(lines), encoding="utf-8")
        return str(folder)

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, by name."""
        return self._listing.of(split)


Visits = dict[tuple[str, str, str], dict[str, str]]


def _nnunet(root: Path) -> Visits:
    visits: Visits = defaultdict(dict)
    for file in visible_paths(root / "imagesTr", "*.nii.gz"):
        if found := FILE.fullmatch(file.name):
            key = found["tracer"], found["patient"], found["study"]
            visits[key][CHANNELS[found["channel"]]] = str(file)
    return visits


def _older(root: Path) -> Visits:
    visits: Visits = defaultdict(dict)
    for name, modality in OLDER.items():
        for file in visible_paths(root, f"*/*/{name}"):
            visits["", file.parent.parent.name.removeprefix("PETCT_"), file.parent.name][
                modality
            ] = str(file)
    return visits


def _diagnoses(
    root: Path, patients: Sequence[str], unknown: Sequence[str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """{patient: {date: diagnosis}}, and notes; a visit has a row per series."""
    entries, named, notes = [], [], []
    for path in visible_paths(root, "*.csv"):
        table = read_table(path, "a row per series")
        if "Subject ID" not in table or "diagnosis" not in table:
            notes.append(f"{path.name} is ignored: it has no 'Subject ID' and 'diagnosis'.")
            continue
        columns = ["diagnosis", "Study Date"]
        table, blanks = blank_unknown(table, columns, unknown, option="autopet.unknown")
        notes += blanks
        for row in table.rows:
            patient = row["Subject ID"].partition("_")[2] or row["Subject ID"]
            date = row["Study Date"] if "Study Date" in table else ""
            named.append(patient)
            if row["diagnosis"]:
                entries.append(((patient, date), row["diagnosis"], table, row))
    # A visit has a row per series, so rows repeat each other as they should.
    of_visit, _ = one_per_key(entries, "Subject ID", "Keep one diagnosis of a patient and date.")
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for (patient, date), diagnosis in of_visit.items():
        found[patient][date] = diagnosis
    if named:
        rows, images = ("patients of the tables", named), ("patients with images", patients)
        notes += join_notes(root, rows, images)
        notes += join_notes(root, images, rows, "their diagnosis is unknown")
    return found, notes


def _diagnosis(of_date: Mapping[str, str], study: str) -> str:
    """That of the visit; where no date fits, the one that all visits of the patient have."""
    dated = {diagnosis for date, diagnosis in of_date.items() if date and study.startswith(date)}
    every = dated or set(of_date.values())
    return every.pop() if len(every) == 1 else ""
