"""What a run knew beyond images: weak labels and seeds, as results tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sm3kit.core.variant import Variant

SEMI_SUPERVISED = "SEMI-SUPERVISED"


def supervision_of(variant: Variant, weak: Mapping[str, int]) -> dict[str, Any]:
    """What a result says of the weak labels of its run; empty without any.

    Args:
        weak: {label: studies with weak labels}.
    """
    if not weak:
        return {}
    return {"weak": dict(weak), "weak_seeds": variant.stage2.weak_seeds}


def supervision_note(of: Mapping[str, Any]) -> str:
    """Which labels a run had weak labels of, in a sentence; empty without any.

    Args:
        of: what a result says of its run.
    """
    if not of.get("weak"):
        return ""
    counts = ", ".join(f"{name} ({count} studies)" for name, count in of["weak"].items())
    if of["weak_seeds"]:
        return (
            f"{SEMI_SUPERVISED}: in stage 2, the clusters of {counts} began with up to "
            f"{of['weak_seeds']} studies of each class that a table named."
        )
    return f"Weakly supervised: stage 2 learned from weak labels of {counts}."


def supervision_notes(rows: Iterable[tuple[str, Iterable[Mapping[str, Any]]]]) -> list[str]:
    """The notes on several runs, each behind the names of those that it is of.

    Args:
        rows: a name, and what results say of runs under this name.
    """
    names: dict[str, list[str]] = {}
    for name, runs in rows:
        for note in dict.fromkeys(supervision_note(of) for of in runs):
            if note:
                names.setdefault(note, []).append(name)
    return [f"{', '.join(own)}: {note}" for note, own in names.items()]
