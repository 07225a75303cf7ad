"""The epochs of a training as rows of a CSV file, and the curves in them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sm3kit.core.errors import CheckpointError
from sm3kit.core.files import whole_file
from sm3kit.runs.record import REMEDY
from sm3kit.tables.spreadsheets import read_rows, write_rows

Rows = Sequence[Mapping[str, Any]]  # By column: text of a file, or numbers.


def read_epochs(table: Path) -> list[dict[str, Any]]:
    """The rows of a file, as text; none if there is no such file.

    Raises:
        CheckpointError: it is damaged.
    """
    if not table.is_file():
        return []
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = read_rows(file)
        whole = all(row["stage"] and int(row["epoch"]) >= 0 for row in rows)
    except (OSError, ValueError, KeyError, csv.Error):
        whole = False
    if not whole:
        raise CheckpointError(f"{table} is damaged. Delete it: only the curves need it.")
    return list(rows)


def write_epochs(table: Path, rows: Rows) -> None:
    """Writes all rows; columns are in the order of their first appearance."""
    columns = columns_of(rows)
    with (
        whole_file(table, REMEDY) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        write_rows(file, [columns, *([row.get(name, "") for name in columns] for row in rows)])


def columns_of(rows: Rows) -> list[str]:
    """The columns of all rows, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def of_stage(rows: Rows, stage: str) -> list[Mapping[str, Any]]:
    """The rows of one stage, in order."""
    return [row for row in rows if row["stage"] == stage]


def series(rows: Rows, column: str) -> list[tuple[int, float]]:
    """(epoch, value) of a column, where it has a finite number."""
    points = []
    for row in rows:
        text = row.get(column)
        if text not in (None, "") and math.isfinite(float(text)):
            points.append((int(row["epoch"]), float(text)))
    return points
