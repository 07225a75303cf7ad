"""Rows of tables by name: `table.csv#id=7`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote

from sm3kit.api import DataError, Row, Table, one_per_key, read_table, regular_file


def named_row(table: Path, key: str, value: str) -> str:
    """The path of the row that has a value in a key column; what a path cannot hold is quoted."""
    return f"{table}#{quote(key, safe=' ')}={quote(value, safe=' ')}"


def rows_of(file: str, part: str) -> tuple[Table, Row]:
    """The table of a file, and the row that `COLUMN=VALUE` names in it.

    Raises:
        DataError: there is no such table, column or row, or no part is given.
    """
    key, equals, value = map(unquote, part.partition("="))
    if not equals:
        raise DataError(f"{file} is a table. Name a row of it: {file}#COLUMN=VALUE, as #id=7.")
    path = regular_file(file, "CSV file", "It should hold a row per study.", DataError)
    state = path.stat()
    table, rows = _keyed(path, key, (state.st_size, state.st_mtime_ns))
    if value not in rows:
        raise DataError(
            f"{file} has no row with {value!r} in the column {key!r}. It has {len(rows)} rows, "
            f"the first with {next(iter(rows))!r}."
        )
    return table, rows[value]


def rows_by(table: Table, key: str) -> tuple[dict[str, Row], list[str]]:
    """{value in the key column: row}, and a note on rows that are there twice.

    Raises:
        DataError: there is no such column, or two rows of one value differ.
    """
    table.require([key])
    entries = ((row[key], row, table, row) for row in table.rows)
    return one_per_key(entries, key, "Rows are looked up by this column; each needs its own value.")


@lru_cache(maxsize=4)
def _keyed(path: Path, key: str, state: object) -> tuple[Table, Mapping[str, Row]]:
    """The rows of a file in a state; one reading serves all of them."""
    table = read_table(path, "a row per study")
    return table, rows_by(table, key)[0]
