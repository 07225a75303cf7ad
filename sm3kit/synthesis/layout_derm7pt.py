"""The layout of the Derm7pt release: meta.csv, index files and dark-framed pictures in folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sm3kit.synthesis.clinical import clinical
from sm3kit.synthesis.dermoscopic import dermoscopic
from sm3kit.synthesis.folder import save_picture, save_table
from sm3kit.synthesis.lesion import Lesion, lesion

COLUMNS = (
    "case_num",
    "diagnosis",
    "seven_point_score",
    "pigment_network",
    "streaks",
    "pigmentation",
    "regression_structures",
    "dots_and_globules",
    "blue_whitish_veil",
    "vascular_structures",
    "level_of_diagnostic_difficulty",
    "elevation",
    "location",
    "sex",
    "management",
    "clinic",
    "derm",
    "case_id",
    "notes",
)
# Cases per split of the release, and cases with one picture for both views.
SPLITS = (("train", 413), ("valid", 203), ("test", 395))
CASES, SHARED = 1011, 9
FOLDERS = 34
# Points of the seven-point checklist: 2 for a major, 1 for a minor criterion.
POINTS = {"PN": 2, "BWV": 2, "VS": 2, "PIG": 1, "STR": 1, "DaG": 1, "RS": 1}
WORDS = {
    "PN": {"ABS": "absent", "TYP": "typical", "ATP": "atypical"},
    "BWV": {"ABS": "absent", "PRS": "present"},
    "STR": {"ABS": "absent", "REG": "regular", "IR": "irregular"},
    "DaG": {"ABS": "absent", "REG": "regular", "IR": "irregular"},
}
SITES = (
    "abdomen",
    "acral",
    "back",
    "buttocks",
    "chest",
    "genital areas",
    "head neck",
    "lower limbs",
    "upper limbs",
)


def release(folder: Path, pairs: int, size: int, seed: int) -> None:
    """Writes the release as it is shared: tables in meta/, pictures in images/.

    The dark frame of 20 to 30 pixels comes on top of `size`.
    """
    _write(folder, folder / "meta", pairs, size, seed)


def tables_beside_images(folder: Path, pairs: int, size: int, seed: int) -> None:
    """Writes the release with its four tables beside images/."""
    _write(folder, folder, pairs, size, seed)


def _write(folder: Path, tables: Path, pairs: int, size: int, seed: int) -> None:
    rng = np.random.default_rng([seed, pairs])
    shared = max(2, round(pairs * SHARED / CASES)) if pairs >= 10 else 0
    same = set(rng.choice(pairs, shared, replace=False).tolist())
    rows = [_case(folder, lesion(seed, i), size, i in same) for i in range(pairs)]
    save_table(tables / "meta.csv", COLUMNS, rows)
    order, start = rng.permutation(pairs), 0
    for place, (split, cases) in enumerate(SPLITS):
        end = pairs if place == 2 else start + round(pairs * cases / CASES)
        indexes = sorted(order[start:end].tolist())
        save_table(tables / f"{split}_indexes.csv", ["indexes"], [[i] for i in indexes])
        start = end
    (folder / "README.txt").write_text(
        "Synthetic pictures in the layout of Derm7pt release_v0. No patient was photographed.\n",
        encoding="utf-8",
    )


def _case(folder: Path, lesion: Lesion, size: int, same: bool) -> list[object]:
    rng = lesion.stream("derm7pt")
    code = f"{'ABCDEFGHIJKLMNOPQR'[lesion.index % FOLDERS // 2]}{'AN'[lesion.index % 2]}L"
    number = 2 * (lesion.index // FOLDERS)
    # A few names of the release are in capitals, extension included.
    loud = rng.random() < 0.06
    derm = f"{code}/{code.capitalize()}{number + 1:03d}.jpg"
    clinic = (
        f"{code}/{code}{number:03d}.JPG" if loud else f"{code}/{code.capitalize()}{number:03d}.jpg"
    )
    save_picture(folder / "images" / derm, _frame(dermoscopic(lesion, size), rng))
    if same:
        clinic = derm
    else:
        save_picture(folder / "images" / clinic, _frame(clinical(lesion, size), rng))
    case_id = f"S{lesion.index:04d}" if rng.random() < 27 / CASES else ""
    return [lesion.index + 1, *_findings(lesion), *_patient(lesion, rng), clinic, derm, case_id, ""]


def _findings(lesion: Lesion) -> list[object]:
    labels = lesion.labels
    worst = {"PN": "ATP", "BWV": "PRS", "RS": "PRS"}
    score = sum(points for name, points in POINTS.items() if labels[name] == worst.get(name, "IR"))
    return [
        lesion.diagnosis,
        score,
        WORDS["PN"][labels["PN"]],
        WORDS["STR"][labels["STR"]],
        lesion.form("PIG"),
        lesion.form("RS"),
        WORDS["DaG"][labels["DaG"]],
        WORDS["BWV"][labels["BWV"]],
        lesion.form("VS"),
    ]


def _patient(lesion: Lesion, rng: np.random.Generator) -> list[str]:
    """Difficulty, elevation, location, sex and management."""
    elevation = (
        "flat" if lesion.height < 0.25 else "palpable" if lesion.height < 0.65 else "nodular"
    )
    # As in the release, every melanoma is excised.
    if lesion.labels["DIAG"] in ("MEL", "BCC"):
        management = "excision"
    else:
        choices = ("excision", "clinical follow up", "no further examination")
        management = choices[rng.choice(3, p=[0.6, 0.25, 0.15])]
    return [
        ("low", "medium", "high")[rng.integers(3)],
        elevation,
        SITES[rng.integers(len(SITES))],
        ("female", "male")[rng.integers(2)],
        management,
    ]


def _frame(picture: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The picture within a nearly black frame, so that cutting 25 pixels off matters."""
    width = int(rng.integers(20, 31))
    return np.pad(picture, ((width, width), (width, width), (0, 0)), constant_values=6)
