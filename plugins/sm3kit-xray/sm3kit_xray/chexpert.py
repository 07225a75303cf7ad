"""CheXpert: chest X-rays of Stanford Hospital, with fourteen findings read from their reports."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from sm3kit.api import (
    DataError,
    Dataset,
    Row,
    Study,
    Table,
    one_per_key,
    ranges,
    rarest,
    read_table,
    split_groups,
)
from sm3kit_xray import drawing, findings, views
from sm3kit_xray.chexpert_folder import Folder
from sm3kit_xray.findings import Answers, Blank, Policy, Uncertain
from sm3kit_xray.views import Frontal, Images, Key, Shot

PATH = re.compile(
    r"(?:.*/)?(?P<folder>(?:train|valid|val|test)/[^/]+)/(?P<study>[^/]+)"
    r"/(?P<file>[^/]*(?P<view>frontal|lateral)[^/]*)",
    re.IGNORECASE,
)
FORM = "train/patient00001/study1/view1_frontal.jpg, with or without folders before it"
NO_PROJECTION = "The table does not say which frontal images are PA and which AP: use -o chexpert.frontal=together"
OR_WITHOUT = ", or move the table out of the folder"
PROJECTION = {"PA": views.PA, "AP": views.AP}
LICENCE = (
    "CheXpert is licensed by the Stanford University Dataset Research Use Agreement: for "
    "non-commercial research, and not to be passed on."
)


class Part(NamedTuple):
    """What one table says: its images that are there, and what it answers for each study."""

    images: Images
    answers: dict[Key, Answers]
    notes: list[str]


class CheXpert(Dataset):
    """The studies of a CheXpert folder, `chexpert:DIR`: frontal and lateral chest X-rays.

    Source: Irvin et al. 2019, "CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels
    and Expert Comparison", https://arxiv.org/abs/1901.07031.

    A study is a visit; it may have several frontal images, of which each epoch draws one, and often
    lacks the lateral one. Groups are patients. The fourteen labels of a study are absent or
    present. Those of `train.csv` were read from the reports by a program, which also answers -1
    (uncertain) or nothing (not mentioned). By default -1 is unknown, as U-Ignore in Section 3 of
    the paper, and a blank is absent, as in Table 1 of the paper and in most published
    trainings. With `blank=unknown` there are far fewer labels, and No Finding, which the program never denies, is present
    or unknown. Where images of one study say different things, present counts
    before uncertain, and that before absent.

    `train.csv` and `valid.csv` belong to the release. The test set came later, with the tables
    `test_labels.csv` and `val_labels.csv`, which stands in for an absent `valid.csv`; `test.csv` may be
    another name of the former. Patients of `train.csv` are drawn for a split that none of the
    other tables is, by a seed, stratified on the rarest finding of a patient. Patients whose folder
    is not there are left out, with a note, and so is a table other than `train.csv` without any.

    Args:
        argument: the folder of the tables: `CheXpert-v1.0-small`, `CheXpert-v1.0`, or `CheXpert-v1.0
            batch 1 (validate & csv)`, whose training images lie in the batches beside it; or the
            folder above it.
        labels: the findings to use, for example the five of the competition; by default all.
        uncertain: what -1 is: unknown, ones (present), or zeros (absent).
        blank: what a finding is that the report does not mention: zeros (absent) or unknown.
        frontal: together makes one modality of PA and AP images; apart makes two, `pa` and `ap`.
        valid: which split `valid.csv` is, which radiologists labelled: val or test; auto takes
            test, or val if there is a test set.
        val: share of the patients of `train.csv` for validation, if no table is that split.
        test: share of them for testing, likewise.
        split_seed: a different seed gives a different split.

    Raises:
        DataError: a folder, table, column or value is missing or wrong.
        OptionError: a finding that is not there, or shares that leave nothing to train on.
    """

    def __init__(
        self,
        argument: str,
        *,
        labels: tuple[str, ...] = (),
        uncertain: Uncertain = "unknown",
        blank: Blank = "zeros",
        frontal: Frontal = "together",
        valid: Literal["auto", "val", "test"] = "auto",
        val: ranges.ShareBelowOne = 0.1,
        test: ranges.ShareBelowOne = 0.1,
        split_seed: ranges.Seed = 0,
    ) -> None:
        self.argument = argument
        folder = Folder(Path(argument).expanduser())
        policy = Policy("chexpert", labels, uncertain, blank)
        self.modalities = views.modality_specs(frontal)
        self.labels = policy.specs
        read = {stem: _part(folder, stem, frontal) for stem in folder.tables}
        parts = {stem: part for stem, part in read.items() if part.images or stem == "train"}
        self.label_files = [folder.tables[stem] for stem in parts]
        if valid == "auto":
            valid = "val" if "test" in parts else "test"
        official = {"valid": valid, "test": "test"}
        tables = {folder.tables[stem].name: official[stem] for stem in parts if stem != "train"}
        shares = {"val": val, "test": test} | dict.fromkeys(tables.values(), 0.0)
        drawn = split_groups(_strata(parts["train"].answers), **shares, seed=split_seed)
        self._studies = [
            views.study(
                key,
                paths,
                policy.labels(part.answers[key]),
                drawn[key[0]] if stem == "train" else official[stem],
            )
            for stem, part in parts.items()
            for key, paths in part.images.items()
        ]
        self.notes = [LICENCE, _split_note(tables, split_seed), *folder.notes]
        self.notes += [note for part in read.values() for note in part.notes]
        self.notes += policy.notes(
            said for part in parts.values() for said in part.answers.values()
        )
        _check_ids(folder.root, self._studies)

    @classmethod
    def example(cls, folder: Path) -> str:
        """Draws thirty patients for training and ten for validation, and gives the folder."""
        rng, root = np.random.default_rng(0), folder / "CheXpert-v1.0-small"
        for place, patients in (("train", 30), ("valid", 10)):
            rows: list[list[object]] = []
            for visit in drawing.visits(rng, patients, sure=place == "valid"):
                images = ["frontal"] * visit.frontals + ["lateral"] * visit.laterals
                for number, view in enumerate(images, start=1):
                    patient = f"patient{visit.patient + 64540 * (place == 'valid'):05d}"
                    file = f"{place}/{patient}/study{visit.number}/view{number}_{view}.jpg"
                    picture = drawing.chest(rng, visit.present, view == "lateral")
                    drawing.save(picture, root / file)
                    where = "" if view == "lateral" else "PA" if visit.patient % 2 else "AP"
                    seen = [f"{root.name}/{file}", "Female", 60, view.capitalize(), where]
                    rows.append([*seen, *visit.cells.values()])
            heading = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *findings.FINDINGS]
            with (root / f"{place}.csv").open("w", newline="", encoding="utf-8") as table:
                csv.writer(table).writerows([heading, *rows])
        return str(root)

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, in the order of the tables."""
        return [study for study in self._studies if split in (None, study.split)]


def _part(folder: Folder, stem: str, frontal: Frontal) -> Part:
    path = folder.tables[stem]
    table = read_table(path, "a row per image, with its path and findings")
    shots, answers, notes = _shots(table)
    patients = views.patients_there(shots, folder.places)
    if not patients and stem != "train":
        places = dict.fromkeys(f"{shot.folder.partition('/')[0]}/" for shot in shots)
        out = f"{path.name} is left out: {folder.root} has no images in {' or '.join(places)}."
        return Part({}, {}, [out])
    if frontal == "apart":
        table.require(["AP/PA"], f"{NO_PROJECTION}{'' if stem == 'train' else OR_WITHOUT}.")
    shots, absent = views.without_absent(folder.root, f"patients of {path.name}", shots, patients)
    images, counted = views.images_of(shots, frontal, patients)
    notes += [*absent, *(f"{path.name}: {note}" for note in counted)]
    here = {(shot.folder, shot.study) for shot in shots}
    return Part(images, {key: said for key, said in answers.items() if key in here}, notes)


def _shots(table: Table) -> tuple[list[Shot], dict[Key, Answers], list[str]]:
    """The images of a table, what it answers for each study, and notes."""
    table.require(["Path", *findings.FINDINGS])
    rows, notes = one_per_key(
        ((row["Path"], row, table, row) for row in table.rows), "Path", "Keep one row per image."
    )
    answers: dict[Key, Answers] = {}
    differing = set[Key]()
    shots = []
    for row in rows.values():
        shot = _shot(table, row)
        shots.append(shot)
        key, said = (shot.folder, shot.study), findings.answers(table, row)
        if key in answers and answers[key] != said:
            differing.add(key)
            said = findings.strongest(answers[key], said)
        answers[key] = said
    if differing:
        notes.append(
            f"{table.path.name}: images of one study differ in their findings in {len(differing):,} "
            "studies: present counts before uncertain, and that before absent."
        )
    return shots, answers, notes


def _shot(table: Table, row: Row) -> Shot:
    match = PATH.fullmatch(row["Path"].replace("\\", "/"))
    if match is None:
        raise DataError(
            f"{table.place(row, 'Path')}: {row['Path']!r} is not a path of the form {FORM}."
        )
    view = match["view"].lower()
    if view == "frontal" and "AP/PA" in table:
        view = PROJECTION.get(row["AP/PA"].upper(), views.OTHER_FRONTAL)
    return Shot(match["folder"], match["study"], view, match["file"])


def _strata(answers: Mapping[Key, Answers]) -> dict[str, str]:
    """{folder of a patient: the rarest finding that is present}."""
    pairs = list(_present(answers))
    return rarest([folder for folder, _ in pairs], [name for _, name in pairs])


def _present(answers: Mapping[Key, Answers]) -> Iterator[tuple[str, str]]:
    for (folder, _), said in answers.items():
        yield folder, ""
        yield from ((folder, name) for name, answer in said.items() if answer == findings.PRESENT)


def _split_note(tables: Mapping[str, str], seed: int) -> str:
    """How the splits came about, from the {name: split} of the tables beside `train.csv`."""
    told = [f"{name} is the {split} split" for name, split in tables.items()]
    drawn = [split for split in ("val", "test") if split not in tables.values()]
    if drawn:
        told.append(
            f"{' and '.join(drawn)} {'is' if len(drawn) == 1 else 'are'} drawn from the patients of "
            f"train.csv, seed {seed}"
        )
    return f"Splits: {'; '.join(told)}."


def _check_ids(root: Path, studies: Sequence[Study]) -> None:
    counts = defaultdict[str, list[str]](list)
    for study in studies:
        counts[study.id].append(study.split)
    for name, splits in counts.items():
        if len(splits) > 1:
            raise DataError(
                f"{root}: the study {name!r} is in several tables, for {' and '.join(splits)}. Keep "
                "it in one of them."
            )
