"""CSV tables that come with scans."""

from __future__ import annotations

from pathlib import Path

from sm3kit.api import read_table


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows {heading: cell} of a CSV file.

    Raises:
        DataError: the file is missing, empty, damaged, or has a heading twice.
    """
    table = read_table(path, "a row per study")
    return [{name: row[name] for name in table.columns if name} for row in table.rows]
