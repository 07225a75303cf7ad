"""Predictions as a table with a row per study."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sm3kit.core.files import whole_file
from sm3kit.core.names import free_name
from sm3kit.tables.spreadsheets import write_rows

FIRST, LAST = ("id", "split", "missing"), "error"
SEVEN_POINT = {
    "score": "seven_point",
    "expected": "seven_point_expected",
    "suspicious": "seven_point_suspicious",
}


def write_csv(record: dict[str, Any], path: Path) -> None:
    """Writes a row per study: decision and all probabilities of each label, as `DIAG` and `DIAG:MEL`.

    A label that is called as another column has a `_` behind its name. Unreadable studies come
    last, with blanks and the reason under `error`.

    Args:
        record: of `predict`.

    Raises:
        SM3Error: the file cannot be written.
    """
    points = SEVEN_POINT if "checklist" in record else {}
    heads, ends = list(FIRST), [*points.values(), LAST]
    for name, label in record["labels"].items():
        for column in (name, *(f"{name}:{one}" for one in label["classes"])):
            heads.append(free_name(column, [*heads, *ends]))
    width = len(heads) + len(points) - len(FIRST)
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        rows = [[*heads, *ends], *(_row(study, points) for study in record["studies"])]
        rows += [[one["id"], "", "", *[""] * width, one["error"]] for one in record["unreadable"]]
        write_rows(file, rows)


def _row(study: dict[str, Any], points: Iterable[str]) -> list[Any]:
    row = [study["id"], study.get("split", ""), " ".join(study["missing"])]
    for name, table in study["probabilities"].items():
        row += [study["decisions"][name], *table.values()]
    return [*row, *(study["seven_point"].get(name, "") for name in points), ""]
