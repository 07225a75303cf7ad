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
# Begins a file of the old formats of Microsoft Office, and one with a password.
OLE = b"\xd0\xcf\x11\xe0"
# What a damaged workbook may raise while it is read.
DAMAGE = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError),
    *(SyntaxError, zlib.error, BadZipFile),
)


def workbook_lines(path: Path, wanted: str) -> list[tuple[int, list[str]]]:
    """The rows of the first sheet that are not blank: the number of each, from 1, and its cells.

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
        with file.open("rb") as stream:
            is_ole = stream.read(len(OLE)) == OLE
        if is_ole:
            raise DataError(
                f"{path} is protected by a password, or of the old format .xls. Save it without a "
                "password, as .xlsx."
            )
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # What a file says of its size may be wrong.
        numbered = enumerate(sheet.iter_rows(values_only=True), start=1)
        rows = ((number, _texts(line)) for number, line in numbered)
        lines = [(number, texts) for number, texts in rows if any(texts)]
        book.close()
    except DAMAGE as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} cannot be read: {why}. Copy it again.") from error
    if not lines:
        raise DataError(f"{path} is empty. It should hold {wanted}.")
    return lines


def _texts(line: Iterable[object]) -> list[str]:
    return ["" if cell is None else str(cell) for cell in line]
