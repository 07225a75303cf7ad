"""Small drawn chests for the examples: they show a layout and what may be seen, no real patient."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from sm3kit_xray.findings import FINDINGS, NO_FINDING

Picture = npt.NDArray[np.uint8]
ANSWERS, CHANCES = ("1.0", "0.0", "", "-1.0"), (0.35, 0.25, 0.3, 0.1)


class Visit(NamedTuple):
    """An invented study.

    Attributes:
        patient, number: whose it is, and which of the patient's, both from 1 on.
        frontals, laterals: numbers of images.
        cells: {finding: its cell in a table}: 1.0, 0.0, -1.0 or blank.
    """

    patient: int
    number: int
    frontals: int
    laterals: int
    cells: dict[str, str]

    @property
    def present(self) -> list[str]:
        """The findings that the pictures should show."""
        return [name for name, cell in self.cells.items() if cell == "1.0"]


def visits(rng: np.random.Generator, patients: int, sure: bool = False) -> Iterator[Visit]:
    """Invented studies: one or two of each patient, every second without a lateral image.

    Args:
        sure: whether all cells are 1.0 or 0.0, as where radiologists have labelled.
    """
    for patient in range(1, patients + 1):
        for number in range(1, 2 + patient % 2):
            cells = {name: str(rng.choice(ANSWERS, p=CHANCES)) for name in FINDINGS}
            if rng.random() < 0.25:
                cells = dict.fromkeys(FINDINGS, "")
            healthy = not {"1.0", "-1.0"} & set(cells.values())
            cells[NO_FINDING] = "1.0" if healthy else ""
            if sure:
                cells = {name: "1.0" if cell == "1.0" else "0.0" for name, cell in cells.items()}
            yield Visit(patient, number, 1 + patient % 3 // 2, (patient + number) % 2, cells)


def chest(
    rng: np.random.Generator, present: Collection[str], lateral: bool = False, size: int = 64
) -> Picture:
    """A chest (S, S) or, from the side, (S, 0.8 S): dark lungs, a bright heart, a few findings."""
    width = size * 4 // 5 if lateral else size
    row, column = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : width * 1j]
    picture = np.where(np.hypot(row * 0.85, column) < 0.95, 150.0, 10.0)
    middles = (0.0,) if lateral else (-0.42, 0.42)
    for middle in middles:
        lung = np.hypot((row + 0.1) / 0.65, (column - middle) / (0.55 if lateral else 0.3)) < 1
        picture[lung] = 30 if "Pneumothorax" in present and middle >= 0 else 60
        if "Lung Opacity" in present:
            picture[lung & (np.hypot(row + 0.2, column - middle) < 0.2)] = 120
        if "Pleural Effusion" in present:
            picture[lung & (row > 0.3)] = 170
    wide = 0.5 if "Cardiomegaly" in present else 0.3
    picture[np.hypot((row - 0.25) / 0.3, (column - 0.12) / wide) < 1] = 190
    if "Support Devices" in present:
        picture[np.abs(column - row * 0.3) < 0.04] = 250
    picture *= rng.uniform(0.85, 1.1)
    return (picture + rng.normal(0, 6, picture.shape)).clip(0, 255).astype(np.uint8)


def save(picture: Picture, path: Path) -> str:
    """Writes a picture, with the folders above it, and gives its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return str(path)
