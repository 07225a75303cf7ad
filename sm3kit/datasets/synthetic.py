"""Synthetic paired studies: drawn lesions with the eight Derm7pt labels, for trials and tests."""

from __future__ import annotations

import csv
import hashlib
import random
from pathlib import Path

from sm3kit.core import ranges
from sm3kit.core.errors import DataError
from sm3kit.core.files import cache_root
from sm3kit.core.options import Option, convert
from sm3kit.datasets.base import Dataset, LabelSpec, ModalitySpec, Study, WeakScores
from sm3kit.synthesis.layouts import write
from sm3kit.synthesis.lesion import LABELS

# Raised by whoever changes what is drawn, so that old pictures are not taken for new ones.
GENERATION = 3


class Synthetic(Dataset):
    """Synthetic lesions, each with a dermoscopic image, a clinical image and eight labels.

    The pictures are rendered once and kept under `cache_root()`. Lesion i of a seed has the same
    pictures, labels and split however many there are. Labels are as frequent as in Derm7pt.

    Args:
        argument: number of pairs, in place of `pairs`: `synthetic:1000`.
        pairs: number of lesions.
        size: side of the pictures in pixels.
        seed: a different seed gives different lesions.
        missing: share of lesions without the clinical picture.
        weak_noise: deviation of the noise in the scores that are offered as weak labels, which are 1
            for the true class and 0 for others; with 0 there are none.
    """

    def __init__(
        self,
        argument: str = "",
        *,
        pairs: ranges.Count = 1000,
        size: ranges.Side = 128,
        seed: ranges.Seed = 0,
        missing: ranges.Share = 0.0,
        weak_noise: ranges.Amount = 0.0,
    ) -> None:
        if argument and not argument.isdecimal():
            raise DataError(
                f"The data set 'synthetic' needs a number of pairs, not {argument!r}. "
                "Write for example synthetic:1000."
            )
        self.argument = argument
        written = convert(
            Option("pairs", ranges.Count, pairs), argument or pairs, "data set 'synthetic'"
        )
        self.pairs: int = written
        self.size, self.seed, self.missing, self.weak_noise = size, seed, missing, weak_noise
        self.modalities = {"derm": ModalitySpec("photo"), "clinic": ModalitySpec("photo")}
        self.labels = [LabelSpec(name, classes, reported) for name, classes, reported in LABELS]
        self.notes = [
            "Synthetic images, not photographs: use them to try things out, not for results."
        ]

    @classmethod
    def example(cls, folder: Path) -> str:
        """Forty studies; they are drawn into the cache, as always."""
        return "40"

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, in the order of the lesions; renders them if needed."""
        folder = self._render()
        with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
            studies = [self._study(folder, row) for row in csv.DictReader(file)]
        return [study for study in studies if split in (None, study.split)]

    def weak_scores(self) -> dict[str, WeakScores]:
        """Noisy scores of all labels, if `weak_noise` asks for them."""
        studies = self.studies() if self.weak_noise else []
        return {
            label.name: WeakScores(
                label.classes, {study.id: self._noisy(study, label) for study in studies}
            )
            for label in self.labels
            if studies
        }

    def _noisy(self, study: Study, label: LabelSpec) -> list[float]:
        """A score for each class, drawn by the seed, the study and the label."""
        draw = random.Random(f"{self.seed}/{study.id}/{label.name}")
        return [
            (number == study.labels[label.name]) + draw.gauss(0.0, self.weak_noise)
            for number in range(len(label.classes))
        ]

    def _render(self) -> Path:
        """The folder of the pictures, written now if it is not there."""
        key = f"{GENERATION} {self.pairs} {self.size} {self.seed} {self.missing}"
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        folder = cache_root() / "synthetic" / name
        table = folder / "manifest.csv"
        if table.exists():
            return folder
        try:
            write("manifest", folder, self.pairs, self.size, self.seed, self.missing)
        except DataError:
            # Another process may have finished first; its folder has the same bytes.
            if not table.exists():
                raise
        return folder

    def _study(self, folder: Path, row: dict[str, str]) -> Study:
        images = {name: str(folder / row[name]) for name in self.modalities if row[name]}
        labels = {label.name: label.classes.index(row[label.name]) for label in self.labels}
        return Study(row["id"], images, labels, row["group"], row["split"])
