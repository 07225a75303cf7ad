"""CSV tables that come with scans."""

from __future__ import annotations

import csv
from pathlib import Path

from sm3kit.api import DataError


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows {heading: cell} of a CSV file, whose separator is a comma, semicolon or tab.

    Raises:
        DataError: the file is missing, empty, not text, or has a heading twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(
            f"There is no table {path}. Give a CSV file with a row per study."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Save it as 'CSV UTF-8'.") from error
    lines = text.splitlines()
    head = lines[0] if lines else ""
    reader = csv.reader(lines, delimiter=max(",;\t", key=head.count))
    headings = [cell.strip() for cell in next(reader, [])]
    twice = {one for one in headings if one and headings.count(one) > 1}
    if twice:
        raise DataError(f"{path} has the column {min(twice)!r} twice. Rename one.")
    rows = [
        {name: cell.strip() for name, cell in zip(headings, cells, strict=False) if name}
        for cells in reader
        if any(cell.strip() for cell in cells)
    ]
    if not rows:
        raise DataError(f"{path} has no rows. Give a CSV file with a row per study.")
    return [dict.fromkeys(filter(None, headings), "") | row for row in rows]
