"""What a record says of its labels, in words: for every table, page and note the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sm3kit.tables.joining import first_few

Record = Mapping[str, Any]

LEAKY = "LEAKY: selected on the split that it was measured on"


def reported_name(row: Record) -> str:
    """The class of a label in a record, "mean of 4" of several, or "-" of none."""
    if row["reported"]:
        return str(row["reported"])
    return f"mean of {len(row['classes'])}" if row["classes"] else "-"


def support_text(row: Record) -> str:
    """Positive of known cases, "12/102"; of a mean the known ones, "102"."""
    positives, known = row["support"]["positives"], row["support"]["known"]
    return f"{known}" if positives is None else f"{positives}/{known}"


def mean_text(record: Record) -> str:
    """Over how many labels the mean goes: "8 labels", or "7 of 8" where one has no number."""
    counted, labels = record["mean"]["labels"], len(record["labels"])
    return f"{counted} labels" if counted == labels else f"{counted} of {labels}"


def studies_text(record: Record) -> str:
    """What the intervals rest on: "395 studies of 395 groups"."""
    return f"{record['cases']} studies of {record['groups']} groups"


def pairs_were_seen(record: Record) -> bool:
    """Whether pre-training has seen the pairs that are matched."""
    return record["split"] in record["of"]["splits"] and not record["transfer"]


def left_out_text(record: Record) -> str:
    """Which studies a matching without duplicates does not have."""
    count = record["without_duplicates"]["left_out"]
    return f"{count} studies that share an image file are left out"


def reporting_notes(labels: Mapping[str, Record], least: int) -> list[str]:
    """What is to be said of labels whose numbers leave out a class, or rest on few cases.

    Args:
        labels: {label: what `describe` says of it}.
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
                f"it ({_with_counts(row['left_out'])}). Ask for fewer with -o evaluate.min_positives=N."
            )
        elif row.get("left_out"):
            notes.append(
                f"Label {name}: its mean leaves out what has fewer than {least} studies, "
                f"{_with_counts(row['left_out'])}."
            )
    return notes


def _with_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.items())


def caveats(record: Record) -> list[str]:
    """A sentence on each thing that is wrong with a result; most results have none.

    Args:
        record: of an evaluation, or of a comparison.
    """
    sentences = [f"{LEAKY}."] if record.get("leaky") else []  # A matching chooses nothing.
    return sentences + caveats_of_studies(record)


def caveats_of_studies(record: Record) -> list[str]:
    """A sentence on studies that were trained on, and one on those that have other images.

    Args:
        record: the ids of both, as `seen` and `replaced`, where they are known.
    """
    sentences = []
    seen, replaced = ([*map(str, record.get(name) or ())] for name in ("seen", "replaced"))
    if seen:
        sentences.append(
            f"SEEN: {len(seen):,} of these studies were trained on before, or others of their "
            f"patients or lesions: {first_few(seen)}."
        )
    if replaced:
        sentences.append(
            f"REPLACED: the images of {len(replaced):,} studies are others than when the run was "
            f"trained: {first_few(replaced)}."
        )
    return sentences
