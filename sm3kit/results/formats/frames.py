"""A section as a DataFrame of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from sm3kit.core.errors import SM3Error
from sm3kit.results.section import NONE, Cell, Column, Section


def dataframe(section: Section) -> Any:
    """A pandas.DataFrame with a row for each line.

    Words are text, measured numbers are floats. A number has further columns beside it where a
    line of the section has them: the standard deviation over seeds ("AUC sd") and the ends of the
    95 % interval ("AUC low", "AUC high"). What is missing is NaN. Percentages stay percentages.

    Raises:
        SM3Error: pandas is not installed.
    """
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise SM3Error(
            "A DataFrame needs pandas, which is not installed: pip install 'sm3kit[pandas]'"
        ) from error
    columns: dict[str, Any] = {}
    for place, column in enumerate(section.columns):
        cells = [line.cells[place] for line in section.lines]
        numbers = [cell.number for cell in cells]
        if not column.metric:
            columns[column.head] = _words(column, cells)
            continue
        for word, part in (("", "mean"), (" sd", "spread"), (" low", "low"), (" high", "high")):
            values = [getattr(number, part) if number else None for number in numbers]
            if not word or any(value is not None for value in values):
                columns[f"{column.head}{word}"] = pandas.array(values, dtype=float)
    return pandas.DataFrame(columns)


def _words(column: Column, cells: Sequence[Cell]) -> list[Any]:
    """The texts of cells, or floats where all of them are numbers, as the pairs of a search."""
    texts = ["nan" if cell.text in ("", NONE) else cell.text for cell in cells]
    try:
        return [float(text) for text in texts] if column.unit != "text" else texts
    except ValueError:
        return [cell.text for cell in cells]
