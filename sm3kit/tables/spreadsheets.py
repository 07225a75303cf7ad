"""CSV files that people open in spreadsheets, which run what looks like a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO, TypeVar

T = TypeVar("T")
MARK = "'"  # Says in a spreadsheet that text follows.
# Letters that a formula begins with, also as East Asian keyboards write them.
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def harmless(cell: T) -> T | str:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers.

    Source: OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection.
    """
    return f"{MARK}{cell}" if isinstance(cell, str) and _runs(cell) else cell


def original(cell: str) -> str:
    """The text that `harmless` was given."""
    return cell[len(MARK) :] if cell.startswith(MARK) and _runs(cell) else cell


def write_rows(file: TextIO, rows: Iterable[Iterable[object]], line_end: str = "\r\n") -> None:
    """Writes rows, the headings first, with all their cells harmless.

    Args:
        file: open for text with `newline=""`.
        rows: cells each.
        line_end: what ends a line.
    """
    writer = csv.writer(file, lineterminator=line_end)
    writer.writerows(map(harmless, row) for row in rows)


def read_rows(file: TextIO) -> list[dict[str, str]]:
    """The rows that `write_rows` wrote, as text.

    Raises:
        csv.Error, UnicodeDecodeError: the file is no CSV.
    """
    lines = csv.reader(file, strict=True)
    columns = [original(cell) for cell in next(lines, [])]
    return [dict(zip(columns, map(original, line), strict=False)) for line in lines]


def _runs(cell: str) -> bool:
    """Whether a text, or the one behind its marks, would be run."""
    bare = cell.lstrip(MARK)
    if not bare.startswith(STARTS):
        return False
    try:
        float(bare)
    except ValueError:
        return True
    return False
