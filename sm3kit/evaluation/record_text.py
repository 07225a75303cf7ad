"""What a record says of its labels, in words: for every table, page and note the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]


def reported_name(row: Row) -> str:
    """The class of a label in a record, "mean of 4" of several, or "-" of none."""
    if row["reported"]:
        return str(row["reported"])
    return f"mean of {len(row['classes'])}" if row["classes"] else "-"


def support_text(row: Row) -> str:
    """Positive of known cases, "12/102"; of a mean the known ones, "102"."""
    found = row["support"]
    positives = found["positives"]
    return f"{found['known']}" if positives is None else f"{positives}/{found['known']}"


def mean_text(record: Row) -> str:
    """Over how many labels the mean goes: "8 labels", or "7 of 8" where one has no number."""
    counted, labels = record["mean"]["labels"], len(record["labels"])
    return f"{counted} labels" if counted == labels else f"{counted} of {labels}"


def studies_text(record: Row) -> str:
    """What the intervals rest on: "395 studies of 395 groups"."""
    return f"{record['cases']} studies of {record['groups']} groups"


def pairs_were_seen(record: Row) -> bool:
    """Whether pre-training has seen the pairs that are matched."""
    return record["split"] in record["of"]["splits"] and not record["transfer"]


def left_out_text(record: Row) -> str:
    """Which studies a matching without duplicates does not have."""
    count = record["without_duplicates"]["left_out"]
    return f"{count} studies that share an image file are left out"


def reporting_notes(labels: Mapping[str, Row], least: int) -> list[str]:
    """What is to be said of labels whose numbers leave out a class, or rest on few cases.

    Args:
        labels: {label: what `described` says of it}.
        least: how many cases are enough.
    """
    notes = []
    few = [
        f"{name} {row['reported']} ({support_text(row)})"
        for name, row in labels.items()
        if row.get("few")  # Older records have none of these.
    ]
    if few:
        notes.append(
            f"Uncertain, with fewer than {least} studies of the reported class or against it: "
            f"{', '.join(few)}."
        )
    for name, row in labels.items():
        if row.get("few"):
            continue
        if not row["reported"] and not row["classes"]:
            notes.append(
                f"Label {name} has no number: no class has {least} studies, and {least} against "
                f"it ({_listed(row['left_out'])}). Ask for fewer with -o evaluate.min_positives=N."
            )
        elif row.get("left_out"):
            notes.append(
                f"Label {name}: its mean leaves out what has fewer than {least} studies, "
                f"{_listed(row['left_out'])}."
            )
    return notes


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.items())
