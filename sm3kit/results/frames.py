"""A section as a DataFrame of pandas."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sm3kit.core.errors import SM3Error
from sm3kit.results.section import Section


def dataframe(section: Section) -> Any:
    """A pandas.DataFrame with a row for each line.

    Words are text, measured numbers are floats. A number has further columns beside it where a line of the section has them: the deviation over
    the seeds ("AUC sd") and the ends of the 95 % interval ("AUC low", "AUC high"). What is missing
    is NaN. Percentages stay percentages.

    Raises:
        SM3Error: pandas is not installed.
    """
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise SM3Error(
            "A DataFrame needs pandas, which is not installed: pip install 'sm3kit[pandas]'"
        ) from error
    columns: dict[str, list[Any]] = {}
    for place, column in enumerate(section.columns):
        cells = [line.cells[place] for line in section.lines]
        numbers = [cell.number for cell in cells]
        if not any(numbers) and not column.metric:
            columns[column.head] = [cell.text for cell in cells]
            continue
        columns[column.head] = [number.mean if number else None for number in numbers]
        for word, part in (("sd", "spread"), ("low", "low"), ("high", "high")):
            values = [getattr(number, part) if number else None for number in numbers]
            if any(value is not None for value in values):
                columns[f"{column.head} {word}"] = values
    frame: Any = pandas.DataFrame(columns)
    measured = [head for column in section.columns if (head := column.head) and column.metric]
    return frame.astype(dict.fromkeys(measured, float))
