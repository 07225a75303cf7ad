"""Splits by patient that depend on names and a seed alone."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Set

from sm3kit.api import OptionError


def rarest(present: Mapping[str, Set[str]]) -> dict[str, str]:
    """{patient: the rarest of its labels}, "" where it has none.

    Args:
        present: {patient: the labels that are present}.
    """
    counts = Counter(label for labels in present.values() for label in labels)
    return {
        patient: min(labels, key=lambda label: (counts[label], label), default="")
        for patient, labels in present.items()
    }


def split(strata: Mapping[str, str], val: float, test: float, seed: int) -> dict[str, str]:
    """{patient: "train", "val" or "test"}; each stratum is spread over them, one at least trains.

    Args:
        strata: {patient: stratum}; one of three or more is in every split that has a share.
        val, test: shares of the patients.
        seed: another seed gives another split.

    Raises:
        OptionError: the shares are negative or leave nothing to train on.
    """
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise OptionError(
            f"The shares val={val:g} and test={test:g} must be 0 or more and leave something to "
            "train on. Try val=0.15 and test=0.2."
        )
    members = defaultdict(list)
    for patient in sorted(strata, key=lambda name: _order(seed, name)):
        members[strata[patient]].append(patient)
    splits: dict[str, str] = {}
    for patients in members.values():
        size = len(patients)
        least = 1 if size >= 3 else 0
        validated = max(least, round(val * size)) if val else 0
        tested = max(least, round(test * size)) if test else 0
        tested = min(tested, max(0, size - 1 - min(validated, 1)))
        validated = min(validated, size - 1 - tested)
        names = ["test"] * tested + ["val"] * validated + ["train"] * (size - tested - validated)
        splits |= zip(patients, names, strict=True)
    return splits


def _order(seed: int, patient: str) -> bytes:
    return hashlib.sha256(f"{seed}:{patient}".encode()).digest()
