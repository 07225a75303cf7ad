"""The layout of a collection of the ISIC Archive: metadata.csv, and the pictures flat beside it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sm3kit.synthesis.clinical import clinical
from sm3kit.synthesis.dermoscopic import dermoscopic
from sm3kit.synthesis.folder import save_picture, save_table
from sm3kit.synthesis.layout_milk10k import Case, draw_case
from sm3kit.synthesis.lesion import Lesion

Draw = Callable[[Lesion, int], npt.NDArray[np.uint8]]

COLUMNS = (
    *("isic_id", "attribution", "copyright_license", "age_approx", "anatom_site_general"),
    *("concomitant_biopsy", "diagnosis_1", "diagnosis_2", "diagnosis_3"),
    *("diagnosis_confirm_type", "fitzpatrick_skin_type", "image_type", "lesion_id", "melanocytic"),
    *("patient_id", "sex"),
)
SKIN_TYPES = ("I", "II", "III", "IV", "V", "VI")
_FROM = ("sm3kit, drawn", "CC-BY")


def isic(folder: Path, pairs: int, size: int, seed: int) -> None:
    """Writes a collection whose lesions have one kind of image or several, and some no id.

    Every fifth lesion has no clinical image and every seventh no dermoscopic one; every fourth has
    two dermoscopic ones. Some images name no lesion, or no patient.
    """
    rows = []
    for index in range(pairs):
        case = draw_case(seed, index)
        for place, (kind, draw) in enumerate(_photographs(index)):
            image = f"ISIC_{(index * 8 + place) * 7919 % 10_000_000:07d}"
            save_picture(folder / f"{image}.jpg", draw(case.lesion, size))
            rows.append(_row(case, image, kind, index))
    save_table(folder / "metadata.csv", COLUMNS, rows)
    notice = (
        "Pictures drawn by sm3kit in the layout of the ISIC Archive. No patient was photographed.\n"
    )
    (folder / "attribution.txt").write_text(notice, encoding="utf-8")


def _photographs(index: int) -> list[tuple[str, Draw]]:
    photographs: list[tuple[str, Draw]] = []
    if index % 7 != 3:
        photographs.append(("dermoscopic", dermoscopic))
    if index % 4 == 1:
        photographs.append(("dermoscopic", _turned))
    if index % 5 != 2 or not photographs:
        photographs.append(("clinical: close-up", clinical))
    if index % 6 == 4:
        photographs.append(("clinical: overview", partial(clinical, away=2.0)))
    return photographs


def _turned(lesion: Lesion, size: int) -> npt.NDArray[np.uint8]:
    """What a dermatoscope sees that is held the other way round."""
    return np.ascontiguousarray(np.rot90(dermoscopic(lesion, size), 2))


def _row(case: Case, image: str, kind: str, index: int) -> list[str]:
    levels = [*case.levels[1:], "", ""][:3]
    lesion_id = "" if index % 13 == 6 else case.id
    patient_id = "" if index % 9 == 8 else f"IP_{index * 2 // 3:07d}"
    skin = SKIN_TYPES[int(case.lesion.tone * 5.999)]
    melanocytic = str(case.levels[0] in ("MEL", "NV"))
    start = [image, *_FROM, case.age, case.site[1], "True", *levels, "histopathology", skin, kind]
    return [*start, lesion_id, melanocytic, patient_id, case.sex]
