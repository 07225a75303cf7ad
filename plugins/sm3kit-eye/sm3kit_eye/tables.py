"""Tables of labels, CSV or spreadsheet."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from sm3kit.api import DataError, Row, Table, read_table, regular_file


def read_labels(path: Path) -> Table:
    """The table of a .csv or .xlsx file; cells are text, blank rows are left out.

    Raises:
        DataError: there is no such file, or it is no table of its kind.
    """
    if path.suffix != ".xlsx":
        return read_table(path, "the labels")
    try:
        lines = [
            ["" if cell is None else str(cell).strip() for cell in line]
            for line in _spreadsheet(path)
        ]
    except (OSError, ValueError, KeyError, BadZipFile, InvalidFileException) as error:
        raise DataError(f"{path} cannot be read: {error}. Copy it again.") from error
    # Spreadsheets end in blank columns now and then.
    width = max((place + 1 for line in lines for place, cell in enumerate(line) if cell), default=0)
    numbered = {number: line[:width] for number, line in enumerate(lines, start=1) if any(line)}
    headings = numbered.pop(min(numbered, default=0), [])
    keys = [heading.casefold() for heading in headings]
    longest = max(map(len, numbered.values()), default=0)
    if not numbered or len(set(keys)) < len(keys) or longest > len(keys):
        raise DataError(
            f"{path} is not a table of labels: it needs a header of different column names, and "
            "rows with as many cells."
        )
    rows = [
        Row(number, dict(zip(keys, cells + [""] * len(keys), strict=False)))
        for number, cells in numbered.items()
    ]
    return Table(path, tuple(heading for heading in headings if heading), tuple(rows))


def _spreadsheet(path: Path) -> list[tuple[object, ...]]:
    file = regular_file(path, "spreadsheet", "It should hold the labels.", DataError)
    book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    rows = list(book.worksheets[0].iter_rows(values_only=True))
    book.close()
    return rows
