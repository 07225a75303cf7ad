"""What a record, and whoever shows it, says of images that were taken away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sm3kit.data.dropping import Remaining
from sm3kit.evaluation.settings import PROTOCOLS
from sm3kit.tables.joining import first_few

Record = Mapping[str, Any]
WITHOUT = " without "


def tell_dropped(record: dict[str, Any], left: Remaining) -> None:
    """Adds to a record what was dropped, if anything was, with notes on it.

    It is `images` {modality: how many}, of how many `studies`, and who was `left_out`.

    Args:
        record: with its `notes`.
        left: the measured studies.
    """
    if left.lost:
        record["dropped"] = {
            "images": left.lost, "studies": len(left.cases), "left_out": left.empty,
        }  # fmt: skip
        record["notes"] += dropped_notes(record)


def dropped_text(record: Record) -> str:
    """Such as "without clinic", or "without clinic in 51 of 102"; empty where nothing was dropped.

    Args:
        record: of an evaluation.
    """
    facts = record.get("dropped")
    if not facts:
        return ""
    studies = facts["studies"]
    parts = [
        name if count == studies else f"{name} in {count} of {studies}"
        for name, count in facts["images"].items()
    ]
    return f"without {' and '.join(parts)}"


def dropped_notes(record: Record) -> list[str]:
    """Sentences on the images that were dropped, and on studies that have none left."""
    facts = record.get("dropped")
    if not facts:
        return []
    studies = facts["studies"]
    lost = " and ".join(
        f"{name} of all {studies} studies"
        if count == studies
        else f"{name} of {count} of the {studies} studies"
        for name, count in facts["images"].items()
    )
    notes = [f"Measured without images: {lost}. The training studies keep theirs."]
    if facts["left_out"]:
        notes.append(
            f"{len(facts['left_out']):,} studies have no other image and are left out: "
            f"{first_few(facts['left_out'])}."
        )
    return notes


def measure_name(protocol: str, drop: str) -> str:
    """What a grid calls a protocol on studies that lose a modality: "probe without clinic"."""
    return f"{protocol}{WITHOUT}{drop}"


def protocol_and_drop(measure: str) -> tuple[str, tuple[str, ...]]:
    """The protocol of such a name, and what is dropped; nothing for a bare protocol."""
    protocol, without, drop = measure.partition(WITHOUT)
    return (protocol, (drop,)) if without and protocol in PROTOCOLS else (measure, ())
