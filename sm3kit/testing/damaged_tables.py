"""Tables as they come: ways to damage a CSV file, and what a data set may make of it.

from sm3kit.testing.damaged_tables import BROKEN, DAMAGES, VALUES, answered, with_value
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sm3kit.core.errors import OptionError, SM3Error
from sm3kit.testing.law import require

T = TypeVar("T")
Damage = Callable[[bytes], bytes]
LONGEST = 2000  # Characters of an answer.


def rows_of(content: bytes) -> list[list[str]]:
    """The rows of a sound table, headings first."""
    return list(csv.reader(io.StringIO(content.decode())))


def write_cells(
    rows: list[list[str]], separator: str = ",", quoting: int = csv.QUOTE_MINIMAL
) -> bytes:
    """Rows as a CSV file."""
    file = io.StringIO()
    csv.writer(file, delimiter=separator, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return file.getvalue().encode()


def _cell(row: int, column: int, value: str) -> Damage:
    def damage(content: bytes) -> bytes:
        rows = rows_of(content)
        rows[row][column] = value
        return write_cells(rows)

    return damage


def _rows(change: Callable[[list[list[str]]], list[list[str]]]) -> Damage:
    return lambda content: write_cells(change(rows_of(content)))


def _in_encoding(encoding: str, mark: bytes = b"") -> Damage:
    return lambda content: mark + content.decode().encode(encoding)


def _lines(end: bytes) -> Damage:
    return lambda content: content.replace(b"\r\n", b"\n").replace(b"\n", end)


def _wide(content: bytes) -> bytes:
    (head, *rows), more = rows_of(content), range(10_000)
    return write_cells(
        [[*head, *(f"c{n}" for n in more)], *([*row, *("1" for _ in more)] for row in rows)]
    )


# What reads as if nothing had happened.
HARMLESS: dict[str, Damage] = {
    "a byte-order mark": _in_encoding("utf-8", codecs.BOM_UTF8),
    "two byte-order marks": _in_encoding("utf-8", 2 * codecs.BOM_UTF8),
    "UTF-16, little end first": _in_encoding("utf-16-le", codecs.BOM_UTF16_LE),
    "UTF-16, big end first": _in_encoding("utf-16-be", codecs.BOM_UTF16_BE),
    "CR as line end": _lines(b"\r"),
    "LF as line end": _lines(b"\n"),
    "CR CR LF as line end": _lines(b"\r\r\n"),
    "blank lines between": _lines(b"\n\r\n"),
    "blank lines first": lambda content: b"\r\n\r\n" + content,
    "blank lines last": lambda content: content + b"\r\n\r\n , \r\n"[:4],
    "semicolons": lambda content: write_cells(rows_of(content), ";"),
    "tabs": lambda content: write_cells(rows_of(content), "\t"),
    "a line sep=;": lambda content: b"sep=;\r\n" + write_cells(rows_of(content), ";"),
    "quotes everywhere": lambda content: write_cells(rows_of(content), quoting=csv.QUOTE_ALL),
    "blanks around cells": _rows(lambda rows: [[f" {cell}\u00a0" for cell in row] for row in rows]),
    "unseen letters around cells": _rows(
        lambda rows: [[f"\u200f{cell}\u200b" for cell in row] for row in rows]
    ),
    "blank cells beyond the headings": _rows(
        lambda rows: [*rows[:2], [*rows[2], "", ""], *rows[3:]]
    ),
    "a row twice": _rows(lambda rows: [*rows, rows[1]]),
}

# What no table can be read from.
BROKEN: dict[str, Damage] = {
    "UTF-16 without a mark": _in_encoding("utf-16-le"),
    "UTF-32": _in_encoding("utf-32"),
    "half a letter of UTF-16": lambda content: _in_encoding("utf-16")(content)[:-1],
    "Latin-1": lambda content: content + "é".encode("latin-1"),
    "a NUL": lambda content: content[: len(content) // 2] + b"\0" + content[len(content) // 2 :],
    "a NUL first": lambda content: b"\0" + content,
    "nothing": lambda content: b"",
    "a byte-order mark alone": lambda content: codecs.BOM_UTF8,
    "blanks alone": lambda content: b"   \r\n  ",
    "separators alone": lambda content: b",,,\r\n,,,\r\n",
    "headings alone": lambda content: content.splitlines(keepends=True)[0],
    "headings without a line end": lambda content: content.splitlines()[0],
    "no headings": lambda content: b"".join(content.splitlines(keepends=True)[1:]),
    "a quote that is not closed": lambda content: content.replace(b"\n", b'\n"', 1),
    "a last quote that is not closed": lambda content: content + b'"x',
    "a line sep=| that is wrong": lambda content: b"sep=|\r\n" + write_cells(rows_of(content), ";"),
    "a spreadsheet": lambda content: b"PK\x03\x04" + content,
    "a compressed file": gzip.compress,
    "any bytes": lambda content: bytes(range(256)),
    "a page of the web": lambda content: b"<html><body>Not found</body></html>",
    "JSON": lambda content: b'{"id": [1, 2, 3]}',
    "another first heading": _cell(0, 0, "something"),
    "no first heading": _cell(0, 0, ""),
    "a first heading with line break": _cell(0, 0, "a\nb"),
    "a first heading that steers": _cell(0, 0, "\x1b[31mx\x07"),
    "an endless first heading": _cell(0, 0, "x" * 1_000_000),
    "no heading at all": _rows(lambda rows: [[""] * len(rows[0]), *rows[1:]]),
    "ten thousand other columns": _rows(lambda rows: [[f"c{n}" for n in range(10_000)], *rows[1:]]),
    "a heading twice": _rows(lambda rows: [[*rows[0], rows[0][0]], *rows[1:]]),
    "a heading twice in other case": _rows(
        lambda rows: [[*rows[0], rows[0][0].swapcase()], *rows[1:]]
    ),
    "more cells than headings": _rows(lambda rows: [*rows[:2], [*rows[2], "x", "y"], *rows[3:]]),
    "a cell of a megabyte": _cell(2, 0, "x" * 1_000_000),
    "no id": _cell(2, 0, ""),
}

# What may be read or refused, as the data set has it; but in one of these two ways.
ODD: dict[str, Damage] = {
    "other line ends in between": lambda content: content.replace(b"\r\n", b"\n", 2),
    "a bar as separator": lambda content: write_cells(rows_of(content), "|"),
    "quotes inside a cell": _cell(2, -1, 'a "b" c'),
    "no last heading": _cell(0, -1, ""),
    "a last heading with line break": _cell(0, -1, "a\nb"),
    "a picture as last heading": _cell(0, -1, "\U0001fa7a"),
    "headings in capitals": _rows(lambda rows: [[name.upper() for name in rows[0]], *rows[1:]]),
    "ten thousand more columns": _wide,
    "fewer cells than headings": _rows(lambda rows: [*rows[:2], rows[2][:1], *rows[3:]]),
    "one row": _rows(lambda rows: rows[:2]),
    "one row many times": _rows(lambda rows: [rows[0], *[rows[1]] * 30]),
    "rows the other way round": _rows(lambda rows: [rows[0], *rows[:0:-1]]),
    "columns the other way round": _rows(lambda rows: [row[::-1] for row in rows]),
    "an id in another case": _rows(lambda rows: [*rows, [rows[1][0].swapcase(), *rows[2][1:]]]),
    "an id twice": _rows(lambda rows: [*rows, [rows[1][0], *rows[2][1:]]]),
}

# What stands in every cell of a column, in turn.
VALUES: dict[str, tuple[str, ...]] = {
    "an absolute path": ("/nowhere/a.jpg",),
    "an address": ("https://example.org/a.jpg",),
    "a path of Windows": ("C:\\pictures\\a.jpg",),
    "a path upwards": ("../../a.jpg",),
    "an endless name": ("d" * 300 + ".jpg",),
    "an endless path": ("/".join(["d" * 200] * 30) + ".jpg",),
    "a path that steers": ("a\x07\nb.jpg",),
    "a path of a picture": ("\U0001fa7a.jpg",),
    "a path the other way round": ("\u202egpj.exe.jpg",),
    "a path with a part": ("a.jpg#slice=3",),
    "marks of parts": ("####.jpg",),
    "bars": ("|", "a.jpg||b.jpg|"),
    "folders": (".", "/", "images"),
    "a home": ("~/a.jpg", "~nobody/a.jpg"),
    "a device": ("/dev/zero",),
    "blanks": ("",),
    "unknown": ("NA", "?", "-1"),
    "one word": ("one",),
    "numbers with commas": ("1,5", "2,5"),
    "numbers in thousands": ("1'000", "1.000,5"),
    "shares": ("5%", "50%"),
    "powers": ("1e3", "1E+3"),
    "no numbers": ("inf", "-inf", "nan"),
    "huge numbers": ("1e400", "9" * 5000, "g" + "9" * 5000),
    "dates": ("2020-01-01", "01.02.2021"),
    "formulas": ("=1+1", "=cmd|'/C calc'!A1"),
    "failed formulas": ("#REF!", "#VALUE!", "#DIV/0!"),
    "truth": ("TRUE", "FALSE"),
    "Arabic digits": ("\u0663", "\u0664"),
    "small digits": ("\u00b2", "\u00b3"),
    "numbers of programs": ("0x1", "1_0"),
    "faces": ("\U0001f642", "\U0001f641"),
    "Hebrew": ("\u200f\u05d0", "\u05d1"),
    "what steers": ("a\x07", "b\x1b[31m"),
    "line breaks": ("a\nb", "c"),
    "signs of options": ("a|b", "c:d", "e/f", "g=h"),
    "long words": ("x" * 5000, "y" * 5000),
    "dashes": ("\u2014", "\u2013"),
    "many words": tuple(map(str, range(1000))),
    "one word in spellings": ("a b", " A B", "a  b", "\u00e1 b"),
    "a letter nobody sees": ("a", "a\u200b", "\ufeffa"),
    "a split misspelt": ("trian",),
    "splits in other case": ("TRAIN", "Test ", "VAL"),
    "splits as numbers": ("0", "1", "2"),
}


def with_value(content: bytes, column: int, name: str) -> bytes:
    """The table with the words of one of VALUES in a column, in turn."""
    head, *rows = rows_of(content)
    words = VALUES[name]
    for place, row in enumerate(rows):
        row[column] = words[place % len(words)]
    return write_cells([head, *rows])


def answered(opened: Callable[[], T], folder: Path) -> T | str:
    """What opening gives, or the message that it is refused with.

    Args:
        opened: opens the data, and looks at it.
        folder: where they lie, which the message has to name, unless it is of an option.

    Raises:
        ContractError: the message is no single line, endless, or names no place.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return opened()
    except SM3Error as error:
        said = str(error)
        require("\n" not in said and said.isprintable(), f"is not one line: {said!r}")
        require(len(said) <= LONGEST, f"has {len(said)} characters")
        placed = str(folder) in said or isinstance(error, OptionError)
        require(placed, f"names neither a file nor an option: {said}")
        return said
