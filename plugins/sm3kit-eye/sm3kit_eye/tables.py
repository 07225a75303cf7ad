"""Tables with a heading, CSV or spreadsheet, and the 0 and 1 in them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from zipfile import BadZipFile

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from sm3kit.api import DataError

NOT_KNOWN = ("", "-1", "-1.0", "nan", "unknown")
FLAGS = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}
Row = dict[str, str]


def read_table(path: Path) -> dict[int, Row]:
    """{number: {heading: cell}} of a .csv or .xlsx file; cells are text, blank rows are left out.

    Raises:
        DataError: there is no such file, or it is no table of its kind.
    """
    read: Callable[[Path], Iterable[Iterable[object]]]
    read = _spreadsheet if path.suffix == ".xlsx" else _csv
    try:
        lines = [
            ["" if cell is None else str(cell).strip() for cell in line] for line in read(path)
        ]
    except FileNotFoundError:
        raise DataError(f"There is no file {path}. It should hold the labels.") from None
    except (OSError, ValueError, KeyError, csv.Error, BadZipFile, InvalidFileException) as error:
        raise DataError(f"{path} cannot be read: {error}. Copy it again.") from error
    # Spreadsheets end in blank columns now and then.
    width = max((place + 1 for line in lines for place, cell in enumerate(line) if cell), default=0)
    numbered = {number: line[:width] for number, line in enumerate(lines, start=1) if any(line)}
    heading = numbered.pop(min(numbered, default=0), [])
    longest = max(map(len, numbered.values()), default=0)
    if not numbered or len(set(heading)) < len(heading) or longest > len(heading):
        raise DataError(
            f"{path} is no table of labels: it needs a line of different headings, then rows of "
            "as many cells."
        )
    return {
        number: dict(zip(heading, row + [""] * len(heading), strict=False))
        for number, row in numbered.items()
    }


def flags(path: Path, number: int, row: Row, columns: Iterable[str]) -> dict[str, int]:
    """{column: 0 or 1} of a row; columns where it is unknown (blank, -1, nan) are left out.

    Raises:
        DataError: a cell holds something else.
    """
    found = {}
    for column in columns:
        cell = row[column].lower()
        if cell not in NOT_KNOWN and cell not in FLAGS:
            raise DataError(
                f"{path}, row {number}, column {column!r}: {row[column]!r} is not 0, 1 or blank."
            )
        if cell in FLAGS:
            found[column] = FLAGS[cell]
    return found


def holds_flags(rows: Iterable[Row], column: str) -> bool:
    """Whether more than half of the known cells of a column are 0 or 1."""
    known = [row[column] for row in rows if row[column].lower() not in NOT_KNOWN]
    return 2 * sum(cell in FLAGS for cell in known) > len(known)


def _csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file, strict=True))


def _spreadsheet(path: Path) -> list[tuple[object, ...]]:
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    rows = list(book.worksheets[0].iter_rows(values_only=True))
    book.close()
    return rows
