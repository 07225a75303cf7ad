"""What makes a result better, or other, than it should be: said wherever the result is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sm3kit.evaluation.predicting import case_id
from sm3kit.evaluation.subject import Subject
from sm3kit.runs.studies_seen import changed, trained_on
from sm3kit.tables.joining import first_few

LEAKY = "LEAKY: selected on the split that it was measured on."


def seen_studies(subject: Subject, split: str) -> list[str] | None:
    """The ids of studies of a split that pre-training saw, and nobody meant it to.

    Those count of whose patient or lesion another study was trained on, and what the runs were
    trained on that this one started from. Where the split as a whole was trained on, as the split
    train is, or others by choice, it is empty.

    Returns:
        None for a run that keeps no record of its studies.
    """
    if not subject.record:
        return None
    same_data = list(subject.variant.data) == list(subject.trained.variant.data)
    if split == "train" or (same_data and split in subject.trained.variant.splits):
        return []
    cases = subject.pool.cases[split]
    found = trained_on(subject.record, subject.pool, cases, subject.images)
    return [case_id(subject.pool, case) for case in found]


def replaced_studies(subject: Subject) -> list[str] | None:
    """The ids of studies that have other images than when the run was trained.

    Returns:
        None for a run that keeps no record of its studies.
    """
    if not subject.record:
        return None
    cases = [case for cases in subject.pool.cases.values() for case in cases]
    found = changed(subject.record, subject.pool, cases, subject.images)
    return [case_id(subject.pool, case) for case in found]


def caveats(record: Mapping[str, Any]) -> list[str]:
    """A sentence on each thing that is wrong with a result; most results have none.

    Args:
        record: of an evaluation, or of a comparison.
    """
    told = [LEAKY] if record.get("leaky") else []  # A matching chooses nothing.
    return told + caveats_of_studies(record)


def caveats_of_studies(record: Mapping[str, Any]) -> list[str]:
    """A sentence on studies that were trained on, and one on those that have other images.

    Args:
        record: the ids of both, as `seen` and `replaced`, where they are known.
    """
    told = []
    seen, replaced = ([*map(str, record.get(name) or ())] for name in ("seen", "replaced"))
    if seen:
        told.append(
            f"SEEN: {len(seen):,} of these studies were trained on before, or others of their "
            f"patients or lesions: {first_few(seen)}."
        )
    if replaced:
        told.append(
            f"REPLACED: the images of {len(replaced):,} studies are others than when the run was "
            f"trained: {first_few(replaced)}."
        )
    return told
