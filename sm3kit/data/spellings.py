"""What a data set may have split in two by its spelling: classes, and groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sm3kit.datasets.base import LabelSpec, Study
from sm3kit.tables.spelling import spelling_notes


def spelled_twice(labels: Sequence[LabelSpec], studies: Sequence[Study]) -> list[str]:
    """Notes on classes of a label, and on groups, that are one but for their spelling.

    A class in two spellings is learned as two; a group in two may stand in two splits.
    """
    notes = []
    for label in labels:
        counts = Counter(study.labels.get(label.name) for study in studies)
        named = {name: counts[index] for index, name in enumerate(label.classes)}
        notes += spelling_notes(f"Label {label.name}", named)
    return notes + spelling_notes("Groups", Counter(study.group for study in studies), "groups")
