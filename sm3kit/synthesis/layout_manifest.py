"""The layout "manifest": pictures in one folder and one table that names them."""

from __future__ import annotations

from pathlib import Path

from sm3kit.synthesis.clinical import clinical
from sm3kit.synthesis.dermoscopic import dermoscopic
from sm3kit.synthesis.folder import save_picture, save_table
from sm3kit.synthesis.lesion import LABELS, Lesion, lesion

COLUMNS = ("id", "split", "group", "derm", "clinic", *(name for name, _, _ in LABELS))


def manifest(folder: Path, pairs: int, size: int, seed: int, missing: float = 0.0) -> None:
    """Writes manifest.csv and images/; a lesion keeps its split however many there are.

    Args:
        missing: share of lesions whose clinical picture is left out; their cell is empty.
    """
    rows = [_study(folder, lesion(seed, index), size, missing) for index in range(pairs)]
    save_table(folder / "manifest.csv", COLUMNS, rows)


def _study(folder: Path, lesion: Lesion, size: int, missing: float) -> list[str]:
    rng = lesion.stream("manifest")
    share, absent = rng.random(2)
    split = "train" if share < 0.6 else "val" if share < 0.8 else "test"
    name = f"lesion-{lesion.index:05d}"
    derm, clinic = f"images/{name}_derm.jpg", f"images/{name}_clinic.jpg"
    save_picture(folder / derm, dermoscopic(lesion, size))
    if absent < missing:
        clinic = ""
    else:
        save_picture(folder / clinic, clinical(lesion, size))
    return [name, split, name, derm, clinic, *lesion.labels.values()]
