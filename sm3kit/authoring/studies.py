"""Small studies on disk, to try a plugin on."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SPLITS = ("train", "train", "train", "val", "test")
LABELS = {"shade": ("dark", "light"), "stripes": ("few", "many", "some")}


def write_studies(
    folder: Path, count: int, modalities: Sequence[str], missing: float, size: int
) -> Path:
    """Writes pictures whose brightness and stripes are their labels, and a table of them.

    Args:
        folder: where; it is made.
        count: number of studies; three of five are for training.
        modalities: their names.
        missing: share of the images that are missing; a study keeps at least one.
        size: height and width of a picture, in pixels.

    Returns:
        The table, for `manifest:FILE`.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        shade, stripes = number // 5 % 2, number // 5 % 3
        row = {"id": f"study-{number:03}", "split": SPLITS[number % 5]}
        kept = number % len(modalities)
        for place, name in enumerate(modalities):
            row[name] = ""
            if place == kept or rng.random() >= missing:
                row[name] = f"{number:03}-{name}.png"
                _picture(shade, stripes, size, rng).save(folder / row[name])
        row |= {"shade": LABELS["shade"][shade], "stripes": LABELS["stripes"][stripes]}
        rows.append(row)
    table = folder / "studies.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return table


def _picture(shade: int, stripes: int, size: int, rng: np.random.Generator) -> Image.Image:
    across = np.sin(np.arange(size) * (1 + stripes) * 6.28 / size)
    grey = 80 + 90 * shade + 40 * across + rng.normal(0, 10, (size, size))
    pixels = np.repeat(grey.clip(0, 255).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
    return Image.fromarray(pixels)
