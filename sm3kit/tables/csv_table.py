"""Tables as people save them: CSV with any separator and byte-order mark, or a spreadsheet."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sm3kit.core.errors import DataError
from sm3kit.core.files import regular_file
from sm3kit.core.names import list_names, suggestion
from sm3kit.tables.spreadsheets import original
from sm3kit.tables.workbook import SUFFIX, workbook_lines

SEPARATORS = (",", ";", "\t")
ROUNDING = 1e-6  # How far a 0 or a 1 may be off, as tools save it so.
# Letters that nobody sees: byte-order marks, marks of direction, blanks and joints of no width.
UNSEEN = "\ufeff\u200b\u200e\u200f\u2060"
SAVE_AS_UTF8 = "Save it as 'CSV UTF-8' and try again."


@dataclass(frozen=True)
class Row:
    """One row; `row["name"]` is its cell without surrounding blanks, "" where there is none.

    Rows of the same cells are equal, whatever their numbers.

    Attributes:
        number: as a spreadsheet shows it; the headings are row 1, below blank rows if there are any.
        cells: {heading in lower case: cell}.
    """

    number: int = field(compare=False)
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column.casefold()]


@dataclass(frozen=True)
class Table:
    """A table: where its file lies, its headings as written, and its rows."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def __contains__(self, column: str) -> bool:
        return column.casefold() in self._keys

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(known.casefold() for known in self.columns)

    def column(self, name: str) -> list[str]:
        """The cells of a column, by row."""
        key = name.casefold()
        return [row.cells[key] for row in self.rows]

    def require(self, columns: Iterable[str], remedy: str = "") -> None:
        """Makes sure that columns are there; upper and lower case count as the same.

        Raises:
            DataError: one is missing; near headings are offered.
        """
        for column in columns:
            if column not in self:
                near = suggestion(column, self.columns)
                raise DataError(
                    f"{self.path} has no column {column!r}. {near}"
                    f"Its columns: {list_names(self.columns)}. {remedy}".rstrip()
                )

    def place(self, row: Row, column: str) -> str:
        """Where a cell is, as messages name it."""
        return f"{self.path}, row {row.number}, column {column!r}"

    def wrong(self, row: Row, column: str, known: Iterable[str]) -> DataError:
        """The error for a cell that holds none of the known values."""
        known = list(known)
        return DataError(
            f"{self.place(row, column)}: unknown value {row[column]!r}. "
            f"{suggestion(row[column], known)}Known: {list_names(known)}."
        )

    def flag(self, row: Row, column: str) -> int | None:
        """The 0 or 1 in a cell, None where it is blank.

        Raises:
            DataError: it holds something else.
        """
        if not row[column]:
            return None
        for flag in (0, 1):
            if abs(as_number(row[column]) - flag) <= ROUNDING:
                return flag
        raise DataError(
            f"{self.place(row, column)}: {row[column]!r} is not 0, 1 or blank. Correct the cell."
        )

    def one_hot(self, row: Row, columns: Iterable[str]) -> str:
        """The one of some columns that holds a 1, "" if none does.

        Raises:
            DataError: several hold a 1, or one holds something other than 0, 1 and a blank.
        """
        hot = [column for column in columns if self.flag(row, column)]
        if len(hot) > 1:
            raise DataError(
                f"{self.path}, row {row.number} has a 1 in several columns, {' and '.join(hot)}. "
                "Keep one."
            )
        return hot[0] if hot else ""


def class_name(cell: str) -> str:
    """The class that a cell names, "" if it is blank; 3.0 is 3, as tools save it so."""
    whole, point, rest = cell.partition(".")
    return whole if point and set(rest) <= {"0"} and whole.lstrip("-").isdecimal() else cell


def as_number(cell: str) -> float:
    """The finite number that a cell holds, else NaN."""
    try:
        number = float(cell)
    except ValueError:
        return math.nan
    if "_" in cell:  # A number in Python's code, a name in a table.
        return math.nan
    return number if math.isfinite(number) else math.nan


def read_table(path: Path, wanted: str) -> Table:
    """The table of a CSV file, compressed (`.gz`) or not, or of the first sheet of an .xlsx file.

    Separator and byte-order mark are recognised. Rows without any content and columns without a
    heading are left out.

    Args:
        path: the file.
        wanted: what it should be, for the message where it is missing.

    Raises:
        DataError: there is no such file, or it is empty, damaged or of another kind.
    """
    in_workbook = path.suffix.lower() == SUFFIX
    read = workbook_lines(path, wanted) if in_workbook else enumerate(_lines(path, wanted), start=1)
    lines = iter(read)
    headings = next(filter(any, ([_look_of(cell) for cell in line] for _, line in lines)), [])
    if not headings:
        raise DataError(f"{path} is empty. It should hold {wanted}.")
    _check_headings(path, headings)
    keys = [heading.casefold() for heading in headings]
    rows, looks = [], _Looks()
    for number, line in lines:
        cells = [looks[cell] for cell in line]
        if any(cells[len(headings) :]):
            raise DataError(
                f"{path}, row {number} has {len(cells)} cells, but there are {len(headings)} "
                "headings. Put quotation marks around cells that contain the separator."
            )
        if any(cells):
            cells += [""] * (len(headings) - len(cells))
            named = zip(keys, cells, strict=False)
            rows.append(Row(number, {key: cell for key, cell in named if key}))
    if not rows:
        raise DataError(f"{path} has headings but no rows. It should hold {wanted}.")
    return Table(path, tuple(heading for heading in headings if heading), tuple(rows))


def _look_of(cell: str) -> str:
    """A cell without blanks and what nobody sees at its ends, and without what kept it harmless."""
    cell = cell.strip()
    return original(cell if cell.isascii() else cell.strip(UNSEEN).strip())


class _Looks(dict[str, str]):
    """{cell: its look}, made once: tables repeat their words, which then take memory once."""

    def __missing__(self, cell: str) -> str:
        self[cell] = look = _look_of(cell)
        return look


def _lines(path: Path, wanted: str) -> list[list[str]]:
    text = _text(path, wanted)
    first = text.lstrip("\r\n").split("\n", 1)[0].strip().strip('"')
    # A first line "sep=;" is how spreadsheets are told the separator.
    if first.lower().startswith("sep=") and len(first) == 5:
        separator, text = first[4], text.lstrip("\r\n").split("\n", 1)[-1]
    else:
        separator = max(SEPARATORS, key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    read: list[list[str]] = []
    try:
        read.extend(lines)
    except csv.Error as error:
        raise DataError(
            f"{path}, row {len(read) + 1} cannot be read: {error}. "
            "Look for a quotation mark that is not closed."
        ) from None
    return read


def _text(path: Path, wanted: str) -> str:
    try:
        content = regular_file(
            path, "CSV file", f"It should hold {wanted}.", DataError
        ).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if path.suffix.lower() == ".gz":
        content = _decompress(path, content)
    if content.startswith(b"PK\x03\x04"):
        raise DataError(f"{path} is a spreadsheet or a zip file, not a CSV file. {SAVE_AS_UTF8}")
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, row {row} is not UTF-8 text. {SAVE_AS_UTF8}") from None
    if "\0" in text:
        row = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path}, row {row} contains a NUL, so it is not text. {SAVE_AS_UTF8}")
    if not text.strip():
        raise DataError(f"{path} is empty. It should hold {wanted}.")
    return text


def _decompress(path: Path, content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be decompressed: {str(error).rstrip('.')}. Copy it again from its source."
        ) from error


def _check_headings(path: Path, headings: list[str]) -> None:
    counts = Counter(heading.casefold() for heading in headings if heading)
    twice = [heading for heading in headings if counts[heading.casefold()] > 1]
    if twice:
        raise DataError(f"{path} has the column {twice[0]!r} twice. Rename or remove one.")
