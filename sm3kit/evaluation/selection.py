"""Which studies an epoch, or a k, is chosen by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sm3kit.core.errors import VariantError
from sm3kit.data.cases import Case
from sm3kit.datasets.base import LabelSpec
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.reporting import classes_with_enough


def chooser(subject: Subject, settings: Settings, measured: list[Case]) -> list[Case] | None:
    """The cases that an epoch is chosen by; None takes the last epoch.

    Raises:
        VariantError: the split that chooses leaves every AUC undefined.
    """
    if settings.select == "last":
        return None
    if settings.select == "test_best":
        split, cases = settings.split, measured
    else:
        split = "val"
        cases = [c for c in subject.pool.cases["val"] if any(value >= 0 for value in c.labels)]
    if _can_choose(subject.pool.labels, cases, 1):
        return cases
    raise VariantError(
        f"--select {settings.select} needs a label with two classes, the reported one among them, "
        f"in the split {split}, and {', '.join(subject.variant.data)} has none among its "
        f"{len(cases)} labelled studies there. Use --select last."
    )


def least_to_choose_by(subject: Subject, settings: Settings, cases: Sequence[Case]) -> int:
    """How many studies a class wants to count in a choice: as for a result, or 1 if none has those.

    Args:
        cases: that the choice goes by.
    """
    enough = _can_choose(subject.pool.labels, cases, settings.min_positives)
    return settings.min_positives if enough else 1


def _can_choose(labels: Sequence[LabelSpec], cases: Sequence[Case], least: int) -> bool:
    """Whether a label has an AUC on the cases."""
    for number, label in enumerate(labels):
        counts = Counter(case.labels[number] for case in cases)
        sizes = [counts[index] for index in range(len(label.classes))]
        if not label.reported:
            able = bool(classes_with_enough(sizes, least))
        else:
            able = 0 < sizes[label.classes.index(label.reported)] < sum(sizes)
        if able:
            return True
    return False
