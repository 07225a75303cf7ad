"""Predictions as a table with a row per study."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from sm3kit.core.files import whole_file


def write_csv(record: dict[str, Any], path: Path) -> None:
    """Writes a row per study: decision and all probabilities of each label, as `DIAG` and `DIAG:MEL`.

    Unreadable studies come last, with blanks and the reason under `error`.

    Args:
        record: of `predict`.

    Raises:
        SM3Error: the file cannot be written.
    """
    columns = ["id", "split", "missing"]
    for name, label in record["labels"].items():
        columns += [name, *(f"{name}:{one}" for one in label["classes"])]
    if "checklist" in record:
        columns += ["seven_point", "seven_point_expected", "seven_point_suspicious"]
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*columns, "error"], restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(_row(study) for study in record["studies"])
        writer.writerows(record["unreadable"])


def _row(study: dict[str, Any]) -> dict[str, Any]:
    row = {
        "id": study["id"],
        "split": study.get("split", ""),
        "missing": " ".join(study["missing"]),
    }
    for name, table in study["probabilities"].items():
        row |= {name: study["decisions"][name]}
        row |= {f"{name}:{one}": value for one, value in table.items()}
    points = study.get("seven_point", {})
    for name in ("score", "expected", "suspicious"):
        if name in points:
            row["seven_point" if name == "score" else f"seven_point_{name}"] = points[name]
    return row
