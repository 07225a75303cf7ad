"""Measured numbers, and the basis that no table of them goes without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sm3kit.evaluation.record_text import LEAKY

RANKS = ("mean_rank", "acc@1", "acc@5")
# What a table of a grid may show first, with its head.
MEANS = {"auc": "AUC", "sens": "sensitivity", "spec": "specificity", "prec": "precision"}


@dataclass(frozen=True)
class Number:
    """One measured number, in percent, points or ranks, and what the paper printed for it.

    Args:
        mean: over the seeds.
        spread: deviation over the seeds with n - 1; None for one seed.
        low, high: the ends of the 95 % interval; None if there is none.
        seeds: how many are behind the mean.
        support: what it rests on, such as `75/395`: positive of known cases.
        published: as the paper printed it; None if it did not.
        mark: the printed number as text with what is wrong in it.
        comparable: whether data, split and protocol are those of the paper.
        at_chance: whether guessing does as well, as far as the number of studies can tell.
        gain: the ends of the 95 % interval of its difference to the baseline, in points; None if
            there is no baseline, or no interval.
    """

    mean: float
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 1
    support: str = ""
    published: float | None = None
    mark: str = ""
    comparable: bool = False
    at_chance: bool = False
    gain: tuple[float, float] | None = None

    @property
    def differs(self) -> bool:
        """Whether 0 lies outside the interval of its difference to the baseline, if it has one."""
        return self.gain is None or self.gain[0] > 0 or self.gain[1] < 0


@dataclass(frozen=True)
class Basis:
    """What a table of results says of itself.

    Args:
        data: names of the data sets.
        split: what was measured on.
        select: the rule by which an epoch was chosen.
        seeds: wanted of each row.
        support: the cases behind the numbers, in words.
        leaky: whether a line was selected on the split that it was measured on.
        seen, replaced: studies of some line that were trained on before, and that have other
            images than when its run was trained.
    """

    data: str
    split: str
    select: str
    seeds: tuple[int, ...]
    support: str
    leaky: bool = False
    seen: int = 0
    replaced: int = 0

    @property
    def doubtful(self) -> bool:
        """Whether numbers may be better, or others, than they should be."""
        return self.leaky or self.seen > 0 or self.replaced > 0

    def sentence(self) -> str:
        """Selection rule, split, seeds, data, caveats and support in one line."""
        count = len(self.seeds)
        numbers = ", ".join(str(seed) for seed in self.seeds)
        seeds = f"{count} seed{'' if count == 1 else 's'} ({numbers})"
        leaky = f", {LEAKY}" if self.leaky else ""
        seen = f", SEEN: {self.seen} of the studies were used in training" if self.seen else ""
        if self.replaced:
            seen += f", REPLACED: images of {self.replaced} studies changed after training"
        return (
            f"select {self.select}, split {self.split}, {seeds}, data {self.data}{leaky}{seen}; "
            f"{self.support}"
        )


def data_name(spec: str) -> str:
    """A data set without the folder of this machine: `derm7pt`, `synthetic:120`."""
    name, _, argument = spec.partition(":")
    return spec if argument.isdecimal() else name


def most(records: Iterable[Mapping[str, Any]], name: str) -> int:
    """The number of studies in the longest of the lists that records have under a name."""
    return max((len(record.get(name) or ()) for record in records), default=0)


def value_text(value: Any) -> str:
    """A value of an axis, short: 0.0001, 1e-06, relu."""
    return f"{value:g}" if isinstance(value, float) else str(value)
