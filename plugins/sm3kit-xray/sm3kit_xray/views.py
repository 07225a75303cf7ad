"""From single images to studies: which view is which modality, and whose folders are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from sm3kit.api import ModalitySpec, Study, join_notes, visible_paths

Frontal = Literal["together", "apart"]
# A frontal image is taken from back to front (PA, standing) or from front to back (AP, in bed).
PA, AP, OTHER_FRONTAL, LATERAL = "pa", "ap", "frontal", "lateral"
MODALITIES: Mapping[Frontal, tuple[str, ...]] = {
    "together": (OTHER_FRONTAL, LATERAL),
    "apart": (PA, AP, LATERAL),
}


class Shot(NamedTuple):
    """One image, as a table names it.

    Attributes:
        folder: of its patient, below that of the data set: `train/patient00001`.
        study: of the patient.
        view: PA, AP, OTHER_FRONTAL or LATERAL.
        file: its name in the folder of the study.
    """

    folder: str
    study: str
    view: str
    file: str


Key = tuple[str, str]  # The folder of a patient, and a study in it.
Images = dict[Key, dict[str, tuple[str, ...]]]  # {study: {modality: its paths}}.
Patients = Mapping[str, Path]  # {folder of a patient, as tables name it: where it is}.


def modality_specs(frontal: Frontal) -> dict[str, ModalitySpec]:
    """How the modalities are read."""
    return {name: ModalitySpec("xray") for name in MODALITIES[frontal]}


def patients_there(
    shots: Iterable[Shot], places: Callable[[str], Iterable[Path]]
) -> dict[str, Path]:
    """{folder of a patient: where it is} of everyone beside whom a table names images.

    Args:
        shots: the images of the table.
        places: gives the folders that hold the patients of `train/`; each is listed once.
    """
    there: dict[str, Path] = {}
    for parent in dict.fromkeys(shot.folder.rpartition("/")[0] for shot in shots):
        for place in places(parent):
            for path in visible_paths(place):
                there.setdefault(f"{parent}/{path.name}", path)
    return there


def without_absent(
    root: Path, what: str, shots: Iterable[Shot], patients: Patients
) -> tuple[list[Shot], list[str]]:
    """The images of patients who have a folder, and a note on the others.

    Args:
        root: the folder of the data set.
        what: whose patients they are, for the note: "patients of train.csv".
        patients: where those are who have one.

    Raises:
        DataError: no patient has a folder.
    """
    shots = list(shots)
    wanted = (what, [shot.folder for shot in shots])
    where = f"folders of patients in {root.name}"
    notes = join_notes(root, wanted, (where, patients), "their studies are left out")
    return [shot for shot in shots if shot.folder in patients], notes


def images_of(
    shots: Iterable[Shot], frontal: Frontal, patients: Patients
) -> tuple[Images, list[str]]:
    """{study: {modality: its paths, in the order of the table}}, and notes."""
    found: dict[Key, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    aside = 0
    for shot in shots:
        name = OTHER_FRONTAL if frontal == "together" and shot.view != LATERAL else shot.view
        if name in MODALITIES[frontal]:
            path = patients[shot.folder].joinpath(shot.study, shot.file)
            found[shot.folder, shot.study][name].append(str(path))
        else:
            aside += 1
    images = {
        key: {name: tuple(of_study[name]) for name in MODALITIES[frontal] if name in of_study}
        for key, of_study in found.items()
    }
    lateral = sum(LATERAL in of_study for of_study in images.values())
    notes = [f"{lateral:,} of {len(images):,} studies have a lateral image."]
    if aside:
        notes.append(f"Frontal images that are neither PA nor AP, left out: {aside:,}.")
    return images, notes


def study(
    key: Key, images: Mapping[str, Collection[str]], labels: Mapping[str, int], split: str
) -> Study:
    """A study, whose group is the patient."""
    patient = key[0].rpartition("/")[2]
    paths = {name: tuple(of_view) for name, of_view in images.items()}
    single = {name: one[0] if len(one) == 1 else one for name, one in paths.items()}
    return Study(f"{patient}/{key[1]}", single, labels, patient, split)
