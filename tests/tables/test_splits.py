"""Seeded splits by group: shares, strata, and what they do not depend on."""

from __future__ import annotations

from collections import Counter

import pytest

from sm3kit.core.errors import OptionError
from sm3kit.tables.splits import rarest, split_groups


def strata(**sizes: int) -> dict[str, str]:
    return {f"{name}{number}": name for name, size in sizes.items() for number in range(size)}


def counts(given: dict[str, str], **shares: float) -> dict[str, Counter[str]]:
    splits = split_groups(given, **{"val": 0.15, "test": 0.2, **shares}, seed=0)
    assert splits.keys() == given.keys()
    found: dict[str, Counter[str]] = {}
    for group, split in splits.items():
        found.setdefault(given[group], Counter())[split] += 1
    return found


def test_shares_of_large_and_small_strata() -> None:
    found = counts(strata(a=100, b=4, c=3))
    assert found["a"] == {"train": 65, "val": 15, "test": 20}
    assert found["b"] == {"train": 2, "val": 1, "test": 1}
    assert found["c"] == {"train": 1, "val": 1, "test": 1}


def test_tiny_strata_are_pooled() -> None:
    found = counts({f"g{number}": f"s{number}" for number in range(20)})
    assert sum(found.values(), Counter()) == {"train": 13, "val": 3, "test": 4}


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.45, 0.45), (0.0, 0.9), (0.9, 0.0), (0.15, 0.2)])
def test_something_is_left_for_training(size: int, shares: tuple[float, float]) -> None:
    found = counts(strata(a=size), val=shares[0], test=shares[1])["a"]
    assert found["train"] >= 1
    assert sum(found.values()) == size
    if size >= 3:
        assert (found["val"] > 0) == (shares[0] > 0)
        assert (found["test"] > 0) == (shares[1] > 0)


def test_the_order_does_not_matter_and_the_seed_does() -> None:
    given = strata(a=30, b=7)
    turned = dict(reversed(given.items()))
    first = split_groups(given, val=0.2, test=0.2, seed=3)
    assert split_groups(turned, val=0.2, test=0.2, seed=3) == first
    assert split_groups(given, val=0.2, test=0.2, seed=4) != first


def test_one_more_group_moves_few_others() -> None:
    given = strata(a=200)
    before = split_groups(given, val=0.15, test=0.2, seed=0)
    after = split_groups({**given, "new": "a"}, val=0.15, test=0.2, seed=0)
    assert sum(after[group] != split for group, split in before.items()) <= 2


@pytest.mark.parametrize(("val", "test"), [(0.5, 0.5), (-0.1, 0.2), (0.1, -0.2), (float("nan"), 0)])
def test_shares_that_leave_nothing(val: float, test: float) -> None:
    with pytest.raises(OptionError) as error:
        split_groups({"a": "b"}, val=val, test=test, seed=0)
    assert str(error.value) == (
        f"The shares val={val:g} and test={test:g} must be 0 or more and leave something to train "
        "on. Try val=0.15 and test=0.2."
    )


def test_rarest_class_of_a_group() -> None:
    groups = ["p", "p", "q", "q", "r"]
    assert rarest(groups, ["NV", "MEL", "NV", "", ""]) == {"p": "MEL", "q": "NV", "r": ""}
