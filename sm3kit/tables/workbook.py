"""Workbooks of spreadsheet programs, `.xlsx`: their first sheet as lines of text."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from zipfile import BadZipFile

from sm3kit.core.errors import DataError
from sm3kit.core.files import regular_file
from sm3kit.core.libraries import hush

SUFFIX = ".xlsx"
# What a damaged workbook may raise while it is read.
DAMAGE = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError),
    *(SyntaxError, zlib.error, BadZipFile),
)


def workbook_lines(path: Path, wanted: str) -> list[list[str]]:
    """The cells of the first sheet, a line each; blank lines at the top are left out.

    A formula counts with the value that was saved with it.

    Args:
        path: the file.
        wanted: what it should hold, for the message where it is missing.

    Raises:
        DataError: there is no such file, or it is empty, damaged or of another kind.
    """
    import openpyxl

    hush("openpyxl")
    file = regular_file(path, "spreadsheet", f"It should hold {wanted}.", DataError)
    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        lines = [_texts(line) for line in book.worksheets[0].iter_rows(values_only=True)]
        book.close()
    except DAMAGE as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} cannot be read: {why}. Copy it again.") from error
    start = next((number for number, line in enumerate(lines) if any(line)), len(lines))
    if start == len(lines):
        raise DataError(f"{path} is empty. It should hold {wanted}.")
    return lines[start:]


def _texts(line: Iterable[object]) -> list[str]:
    return ["" if cell is None else str(cell) for cell in line]
