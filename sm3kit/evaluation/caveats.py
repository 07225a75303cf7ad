"""The studies that make a result better, or other, than it should be."""

from __future__ import annotations

from sm3kit.evaluation.predicting import case_id
from sm3kit.evaluation.subject import Subject
from sm3kit.runs.studies_seen import changed, trained_on


def seen_studies(subject: Subject, split: str) -> list[str] | None:
    """The ids of studies of a split that pre-training saw, and nobody meant it to.

    Those count of whose patient or lesion another study was trained on, and what the runs were
    trained on that this one started from. Where the split as a whole was trained on, as the split
    train is, or others by choice, it is empty.

    Returns:
        None for a run that keeps no record of its studies.
    """
    if not subject.studies:
        return None
    same_data = list(subject.variant.data) == list(subject.trained.variant.data)
    if split == "train" or (same_data and split in subject.trained.variant.splits):
        return []
    cases = subject.pool.cases[split]
    seen = trained_on(subject.studies, subject.pool, cases, subject.images)
    return [case_id(subject.pool, case) for case in seen]


def replaced_studies(subject: Subject) -> list[str] | None:
    """The ids of studies that have other images than when the run was trained.

    Returns:
        None for a run that keeps no record of its studies.
    """
    if not subject.studies:
        return None
    cases = [case for cases in subject.pool.cases.values() for case in cases]
    replaced = changed(subject.studies, subject.pool, cases, subject.images)
    return [case_id(subject.pool, case) for case in replaced]
