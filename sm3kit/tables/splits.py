"""Splits that depend on the names of the groups and a seed, and on nothing else."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sm3kit.core.errors import OptionError

# What people write for a split.
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
POOLED = "\0pooled"


def split_groups(
    strata: Mapping[str, str], *, val: float, test: float, seed: int
) -> dict[str, str]:
    """The split of each group: "train", "val" or "test", with each stratum spread over all three.

    The groups of a stratum are put in the order of a hash of seed and name; the first go to
    test, the next to val, the rest to train. So the order of a table does not matter, and a
    new group moves few others. A stratum of three or more groups is in every split that has a
    share; smaller strata are pooled.

    Args:
        strata: {group: stratum}, for example {patient: diagnosis}.
        val: share of the groups for validation, 0 to 1.
        test: share of the groups for testing, 0 to 1.
        seed: another seed gives another split.

    Raises:
        OptionError: the shares are negative or leave nothing to train on.
    """
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise OptionError(
            f"The shares val={val:g} and test={test:g} must be 0 or more and leave something to "
            "train on. Try val=0.15 and test=0.2."
        )
    sizes = Counter(strata.values())
    members = defaultdict(list)
    for group, stratum in strata.items():
        members[stratum if sizes[stratum] >= 3 else POOLED].append(group)
    splits = {}
    for groups in members.values():
        groups.sort(key=lambda group: _order(seed, group))
        tested, validated = _counts(len(groups), val, test)
        for place, group in enumerate(groups):
            in_test, in_val = place < tested, place < tested + validated
            splits[group] = "test" if in_test else "val" if in_val else "train"
    return splits


def rarest(groups: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """{group: the rarest class among its studies}, "" where none is known.

    Args:
        groups: the group of each study.
        classes: the class of each study, "" if unknown.
    """
    counts = Counter(classes)
    classes_of = defaultdict(set)
    for group, name in zip(groups, classes, strict=True):
        classes_of[group].add(name)
    return {
        group: min(names - {""} or {""}, key=lambda name: (counts[name], name))
        for group, names in classes_of.items()
    }


def _counts(size: int, val: float, test: float) -> tuple[int, int]:
    """How many of a stratum are for testing and for validation; one at least stays for training."""
    least = 1 if size >= 3 else 0
    tested = max(least, int(test * size + 0.5)) if test else 0
    validated = max(least, int(val * size + 0.5)) if val else 0
    tested = max(0, min(tested, size - 1 - min(validated, 1)))
    return tested, min(validated, size - 1 - tested)


def _order(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode()).digest()
