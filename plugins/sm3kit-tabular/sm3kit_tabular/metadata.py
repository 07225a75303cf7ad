"""The modality of patient metadata: a row of a table as a vector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sm3kit.api import UNKNOWN_WORDS, Image, Modality, OptionError, file_and_part, ranges
from sm3kit_tabular.columns import Column, Number, category, known_rows, number, of_kinds
from sm3kit_tabular.rows import named_row, rows_of

READING = 2  # Counts changes of `read` that would give another vector for the same row.


class Metadata(Modality):
    """Rows of a CSV file, `table.csv#id=7`, as vectors (C, 1, 1).

    A column of words becomes a place per value, 1 for the row's own; a column of numbers the
    standard score and a 1 that says that it is known. What is unknown, a blank or a word such as NA,
    is zero in all places of its column, and so is a word that is not listed. A view leaves out whole columns, which
    then look unknown, and adds noise to the numbers; evaluation uses the vector as it is.

    Data sets fit `categories` and `numbers` to their training split and pass them on.

    Args:
        image_size: is not used; a vector has one pixel.
        categories: columns of words, each COLUMN:VALUE|VALUE.
        numbers: columns of numbers, each COLUMN:MEAN:DEVIATION.
        dropout: probability that a view leaves out a column, each for itself; 0 to 1.
        noise: standard deviation of the Gaussian noise on the standard scores.
        views: number V of random views.
        unknown: words for an unknown value, in upper or lower case, unless they are listed values
            or numbers.

    Raises:
        OptionError: a column that is not as above, or that comes twice.
    """

    backbone = "mlp/64"

    def __init__(
        self,
        image_size: int = 1,
        *,
        categories: tuple[str, ...] = ("sex:female|male",),
        numbers: tuple[str, ...] = ("age:50:20",),
        dropout: ranges.Share = 0.2,
        noise: ranges.Amount = 0.1,
        views: ranges.ViewCount = 2,
        unknown: tuple[str, ...] = UNKNOWN_WORDS,
    ) -> None:
        self.image_size, self.view_count = image_size, views
        own = {} if unknown == UNKNOWN_WORDS else {"unknown": list(unknown)}
        self.fitted = {"categories": list(categories), "numbers": list(numbers), **own}
        self.dropout, self.noise = dropout, noise
        self.columns: list[Column] = [*map(category, categories), *map(number, numbers)]
        self._check()
        sizes = [column.size for column in self.columns]
        self.channels = sum(sizes)
        self._column_of = np.repeat(np.arange(len(sizes)), sizes)
        starts = np.cumsum([0, *sizes])
        scores = [
            at for at, one in zip(starts, self.columns, strict=False) if isinstance(one, Number)
        ]
        self._scores = np.array(scores, dtype=np.intp)
        self.unknown = unknown
        options = [column.option for column in self.columns]
        self.reading = f"metadata {READING}: {options}, unknown {list(unknown)}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of every view, (C, 1, 1)."""
        return self.channels, 1, 1

    @classmethod
    def example(cls, folder: Path) -> str:
        """Writes a table of two patients into a folder and gives the path of the second."""
        table = folder / "patients.csv"
        table.write_text("id,sex,age\n6,female,\n7,male,61\n", encoding="utf-8")
        return named_row(table, "id", "7")

    def read(self, path: str) -> Image:
        """The vector (C, 1, 1), float32, of the row that `table.csv#COLUMN=VALUE` names.

        Raises:
            DataError: the table, the row or a column is missing, or a cell is no number.
        """
        table, row = rows_of(*file_and_part(path))
        table.require(column.name for column in self.columns)
        table = replace(table, rows=(row,))
        (row,) = known_rows(table, *of_kinds(self.columns), self.unknown)[0].rows
        vector = [value for column in self.columns for value in column.encode(table, row)]
        return np.array(vector, dtype=np.float32).reshape(-1, 1, 1)

    def views(  # type: ignore[override]  # There is no geometry to share.
        self, image: Image, rng: np.random.Generator | None = None
    ) -> list[Image]:
        """V random views (C, 1, 1): columns left out, numbers shaken.

        Args:
            rng: where all randomness comes from; None draws a fresh generator.
        """
        rng = np.random.default_rng() if rng is None else rng
        return [self._view(image, rng) for _ in range(self.view_count)]

    def eval_view(self, image: Image) -> Image:
        """The vector as it is."""
        return image.copy()

    def normalise(self, views: Tensor) -> Tensor:
        """The views as they are: numbers are standardised on reading."""
        return views.to(torch.float32)

    def _view(self, image: Image, rng: np.random.Generator) -> Image:
        kept = rng.random(len(self.columns)) >= self.dropout
        noise = rng.normal(0.0, self.noise, (len(self._scores), 1, 1))
        view = image.copy()
        # The place behind a score is 1 where the number is known, else 0.
        view[self._scores] += noise * image[self._scores + 1]
        view[~kept[self._column_of]] = 0
        return view

    def _check(self) -> None:
        names = {column.name.casefold() for column in self.columns}
        if not 0 < len(names) == len(self.columns):
            raise OptionError(
                "The modality 'metadata': categories and numbers need at least one column, each "
                "named once."
            )
