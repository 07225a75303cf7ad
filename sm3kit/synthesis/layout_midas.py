"""The layout of MRA-MIDAS: one table, and the pictures of three distances flat beside it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sm3kit.synthesis.clinical import clinical
from sm3kit.synthesis.dermoscopic import dermoscopic
from sm3kit.synthesis.folder import save_picture, save_table
from sm3kit.synthesis.lesion import Lesion, lesion

COLUMNS = (
    *("_unnamed_var", "midas_record_id", "midas_file_name", "midas_iscontrol", "midas_distance"),
    *("midas_location", "midas_path", "midas_pathreport", "midas_gender", "midas_age"),
    *("midas_fitzpatrick", "midas_melanoma", "midas_ethnicity", "midas_race"),
    *("clinical_impression_1", "clinical_impression_2", "clinical_impression_3"),
    *("length__mm_", "width__mm_"),
)
Draw = Callable[[Lesion, int], npt.NDArray[np.uint8]]
VIEWS: dict[str, Draw] = {
    "dscope": dermoscopic,
    "6in": clinical,
    "1ft": partial(clinical, away=2.0),
    "n/a - virtual": partial(clinical, away=1.5),
}
# Pathology, and impression as the table lists it, by diagnosis in words or by its class.
PATHOLOGIES = {
    "BCC": ("malignant- bcc", "7-malignant-bcc"),
    "NEV": ("benign-melanocytic nevus", "1-benign-melanocytic nevus"),
    "MEL": ("malignant- melanoma", "11-malignant-melanoma"),
    "SK": ("benign-seborrheic keratosis", "2-benign-seborrheic keratosis"),
    "reed or spitz nevus": (
        "melanocytic tumor, possible re-excision (severe, spitz, aimp)",
        "13-other-melanocytic lesion with possible re-excision (severe/spitz nevus, aimp)",
    ),
    "dermatofibroma": ("benign-dermatofibroma", "4-benign-dermatofibroma"),
    "vascular lesion": ("benign-hemangioma", "5-benign-hemangioma"),
    "MISC": ("benign-other", "6-benign-other"),
}
# What stands for "miscellaneous", drawn evenly.
OTHERS = (
    ("malignant- ak", "10-malignant-ak"),
    ("malignant- scc", "8-malignant-scc"),
    ("malignant- sccis", "9-malignant-sccis"),
    ("malignant- other", "12-malignant-other"),
    ("benign-fibrous papule", "3-benign-fibrous papule"),
    (
        "other- non-neoplastic, inflammatory, infectious",
        "14-other-non-neoplastic/inflammatory/infectious",
    ),
)
LOCATIONS = (
    *("l cheek", "r temple", "nasal tip", "scalp", "mid back", "l upper back", "chest", "abdomen"),
    *("r forearm", "l upper arm", "r dorsal hand", "l thigh", "r lower leg", "l heel"),
)
SKIN_TYPES = (
    "i pale white skin, blue/green eyes, blond/red hair",
    "ii fair skin, blue eyes",
    "iii darker white skin",
    "iv light brown skin",
    "v brown skin",
    "vi dark brown or black skin",
)


def release(folder: Path, pairs: int, size: int, seed: int) -> None:
    """Writes release_midas.csv with what stumbles readers: controls, virtual visits, odd names.

    Controls look benign and were not biopsied: they have a clinical impression and no pathology.

    There are rows whose file has another suffix or is called NAME_cropped, and rows without one.
    """
    _write(folder, pairs, size, seed, repeats=False)


def with_repeats(folder: Path, pairs: int, size: int, seed: int) -> None:
    """Writes the same with lesions that have several images of one distance, as the release has."""
    _write(folder, pairs, size, seed, repeats=True)


def _write(folder: Path, pairs: int, size: int, seed: int, repeats: bool) -> None:
    rows: list[list[object]] = []
    for index in range(pairs):
        drawing = lesion(seed, index)
        record = 1000 + index * 2 // 3  # Every other patient has two lesions.
        flag, *cells = _case(drawing, record, control=index % 7 == 4)
        for place, (kind, draw) in enumerate(_photographs(index, repeats)):
            number = (index * 8 + place) * 7919 % 1_000_000_000
            written, file = _names(f"s-prd-{number:09d}", kind, index)
            if file:
                save_picture(folder / file, draw(drawing, size))
            rows.append([len(rows), record, written, flag, kind, *cells])
    save_table(folder / "release_midas.csv", COLUMNS, rows)


def _photographs(index: int, repeats: bool) -> list[tuple[str, Draw]]:
    """The kinds of image that a lesion has; every eleventh lacks the dermoscopic one."""
    *kinds, virtual = VIEWS.items()
    photographs = kinds[index % 11 == 10 :]
    photographs += [virtual] if index % 8 == 7 else []
    return photographs + (
        [("6in", partial(clinical, away=0.9))] if repeats and index % 6 == 5 else []
    )


def _names(stem: str, kind: str, index: int) -> tuple[str, str]:
    """The name in the table, and that of the file, "" if there is none."""
    if index % 8 == 3:
        return f"{stem}.jpeg", f"{stem}.jpg"
    if index % 16 == 9 and kind == "6in":
        return f"{stem}.jpg", f"{stem}_cropped.jpg"
    if index % 16 == 5 and kind == "1ft":
        return f"{stem}.jpg", ""
    return f"{stem}.jpg", f"{stem}.jpg"


def _case(drawing: Lesion, record: int, control: bool) -> list[str]:
    """The cells of a lesion: control, then from the location on."""
    rng = drawing.stream("midas")
    pathology, impression = PATHOLOGIES.get(drawing.diagnosis, PATHOLOGIES[drawing.labels["DIAG"]])
    if drawing.diagnosis == "miscellaneous":
        pathology, impression = OTHERS[rng.integers(len(OTHERS))]
    known = [*(name for _, name in PATHOLOGIES.values()), *(name for _, name in OTHERS)]
    second = known[rng.integers(len(known))]
    # Three of four lesions are what they look like.
    first = impression if rng.random() < 0.75 else second
    length, width = np.sort(rng.uniform(2, 6, 2) * drawing.extent)[::-1]
    site, skin = LOCATIONS[rng.integers(len(LOCATIONS))], SKIN_TYPES[int(drawing.tone * 5.999)]
    of_patient = np.random.default_rng([drawing.seed, record])
    patient = [("female", "male")[of_patient.integers(2)], str(of_patient.integers(20, 90)), skin]
    history = [("no", "yes")[int(of_patient.random() < 0.2)], "no", "white"]
    if control:
        benign = [name for name in known if "benign" in name]
        looks = first if first in benign else benign[rng.integers(len(benign))]
        return ["yes", site, "", "", *patient, *history, looks, "", "", "", ""]
    report = f"{drawing.diagnosis}, see comment"
    sizes = [f"{length:.1f}", f"{width:.1f}"]
    doubt = second if second != first else ""
    return ["no", site, pathology, report, *patient, *history, first, doubt, "", *sizes]
