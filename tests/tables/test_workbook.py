"""Spreadsheets as other programs write them: sizes that are wrong, blank rows, passwords."""

from __future__ import annotations

import re
from pathlib import Path
from zipfile import ZipFile

import openpyxl
import pytest

from sm3kit.core.errors import DataError
from sm3kit.tables.csv_table import read_table

ROWS = [["id", "name"], [1, "Ann"], [2, "Eva"], [None, None], [3, "Bea"]]


def save(path: Path, rows: list[list[object]], dimension: str = "") -> Path:
    """A workbook, with what it says of its size."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    plain = path.with_name(f"plain-{path.name}")
    book.save(plain)
    with ZipFile(plain) as own, ZipFile(path, "w") as other:
        for name in own.namelist():
            content = own.read(name).decode()
            if name.endswith("sheet1.xml") and dimension:
                content, found = re.subn(r'(<dimension ref=")[^"]*', rf"\g<1>{dimension}", content)
                assert found == 1
            other.writestr(name, content)
    return path


@pytest.mark.parametrize("dimension", ["A1", "A1:B2", "A1:B1048576", "A1:XFD1048576", "B2:B3"])
def test_what_a_sheet_says_of_its_size_may_be_wrong(tmp_path: Path, dimension: str) -> None:
    table = read_table(save(tmp_path / "a.xlsx", ROWS, dimension), "people")
    assert table.columns == ("id", "name")
    assert [(row.number, row["id"], row["name"]) for row in table.rows] == [
        (2, "1", "Ann"),
        (3, "2", "Eva"),
        (5, "3", "Bea"),
    ]


@pytest.mark.parametrize("above", [0, 1, 3])
def test_rows_have_the_numbers_that_the_spreadsheet_shows(tmp_path: Path, above: int) -> None:
    """Also those of a CSV file with blank lines, or lines of separators, on top."""
    blank: list[list[object]] = [[None, None]] * above
    workbook = read_table(save(tmp_path / "a.xlsx", [*blank, *ROWS]), "people")
    assert [row.number for row in workbook.rows] == [above + 2, above + 3, above + 5]
    for end, line in (("a.csv", "\n"), ("b.csv", ",\n"), ("c.csv", "\r\n")):
        lines = "".join(f"{row[0] or ''},{row[1] or ''}\n" for row in ROWS)
        (tmp_path / end).write_text(line * above + lines, "utf-8", newline="")
        table = read_table(tmp_path / end, "people")
        assert (table.columns, table.rows) == (workbook.columns, workbook.rows)
        assert [row.number for row in table.rows] == [row.number for row in workbook.rows]


def test_a_password_is_named(tmp_path: Path) -> None:
    """Such a workbook is no zip file: it begins as those of the old formats."""
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(DataError) as error:
        read_table(path, "people")
    assert str(error.value) == (
        f"{path} is protected by a password, or of the old format .xls. Save it without a "
        "password, as .xlsx."
    )
