"""Which studies an epoch, or a k, is chosen by."""

from __future__ import annotations

from sm3kit.core.errors import VariantError
from sm3kit.engine.cases import Case
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject


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
    for number, label in enumerate(subject.pool.labels):
        found = {case.labels[number] for case in cases} - {-1}
        if label.classes.index(label.reported) in found and len(found) > 1:
            return cases
    raise VariantError(
        f"--select {settings.select} wants a label with its reported class and another in the "
        f"split {split}, and {', '.join(subject.variant.data)} has none among its {len(cases)} "
        "labelled studies there. Take --select last."
    )
