"""A table as data: lines and sections with the basis that no table goes without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sm3kit.results.cells import NONE, Column, Number

WRONG = "†"
NARROW = ("auc", "difference", "mean_rank", "acc@1", "acc@5")


@dataclass(frozen=True)
class Line:
    """One line of a section: a row of the grid.

    Args:
        name: of the row.
        done, wanted: seeds.
        numbers: one per column of the section; None where there is none.
        printed: what the paper printed for the first metric; empty if nothing.
        mark: what it printed for all metrics, with what is wrong in it.
        wrong: whether an error was found in what the paper printed.
        comparable: whether data, split and protocol are those of the paper.
        reason: why there is no number at all; empty if there are.
        leaky: whether it was selected on the split that it was measured on.
        seen, replaced: studies that were trained on before, and that have other images now.
        axes: {axis: value} of the row.
    """

    name: str
    done: int
    wanted: int
    numbers: tuple[Number | None, ...]
    printed: str = ""
    mark: str = ""
    wrong: bool = False
    comparable: bool = False
    reason: str = ""
    leaky: bool = False
    seen: int = 0
    replaced: int = 0
    axes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """The reason in a word or three: `failed`, `not yet done`."""
        return self.reason.partition(":")[0]

    @property
    def seeds(self) -> str:
        """The seeds done of those wanted, such as "2/3"."""
        return f"{self.done}/{self.wanted}"

    def published(self, *, mark: bool = True) -> str:
        """What the paper printed, in brackets where it was measured on something else.

        A dagger is at a number with an error in it.

        Args:
            mark: all metrics with what is wrong in them, not the first one alone.
        """
        if not self.printed:
            return NONE
        text = f"{self.mark if mark else self.printed}{WRONG * self.wrong}"
        return text if self.comparable else f"[{text}]"


@dataclass(frozen=True)
class Basis:
    """What every table says of itself; there is none without it.

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
        named = ", ".join(str(seed) for seed in self.seeds)
        seeds = f"{count} seed{'' if count == 1 else 's'} ({named})"
        leaky = ", LEAKY: selected on the split that it was measured on" if self.leaky else ""
        seen = f", SEEN: {self.seen} of the studies were trained on before" if self.seen else ""
        if self.replaced:
            seen += f", REPLACED: the images of {self.replaced} studies, since the training"
        return (
            f"select {self.select}, split {self.split}, {seeds}, data {self.data}{leaky}{seen}; "
            f"{self.support}"
        )


@dataclass(frozen=True)
class Section:
    """One table with its caption.

    Args:
        protocol: how it was measured.
        part: `means`, `labels`, or the space of a matching.
        title: as shown.
        columns: without name, seeds and published number.
        lines: in the order of the grid.
        published_head: head of the column of published numbers; empty if there is none.
        basis: what it rests on.
        notes: sentences below it.
    """

    protocol: str
    part: str
    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    published_head: str
    basis: Basis
    notes: tuple[str, ...] = ()

    def shown(self) -> list[list[str]]:
        """Heads, then one list per line, of what matters most: narrow enough for 80 columns.

        A star is at the best of a column, a dagger at a printed number with an error in it.
        """
        first = self.columns[0] if self.columns else None
        chosen = [
            (place, column)
            for place, column in enumerate(self.columns)
            if first and column.metric in NARROW and column.label == first.label
        ]
        heads = [head for _, column in chosen for head in column.narrow_heads()]
        table = [["row", "seeds", *heads, *(["published"] if self.published_head else [])]]
        for line in self.lines:
            cells = [one for place, column in chosen for one in column.narrow(line.numbers[place])]
            cells[:1] = [line.state] if line.reason else cells[:1]
            published = line.published(mark=False)
            table.append(
                [line.name, line.seeds, *cells, *([published] if self.published_head else [])]
            )
        return table

    def told(self) -> list[str]:
        """What belongs around `shown`: its title, the basis, then the notes."""
        label = self.columns[0].label if self.columns else ""
        title = self.title if label in ("", "mean") else f"{self.title}, {label}"
        return [title, self.basis.sentence(), *self.notes]


@dataclass(frozen=True)
class Table:
    """All sections of a grid.

    Args:
        title: of the grid.
        sections: at least one for each protocol.
        axes: {axis: values} of a study of hyper-parameters; else empty.
        baseline: the row that the others are compared with, or empty.
    """

    title: str
    sections: tuple[Section, ...]
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    baseline: str = ""

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that have a section, in order."""
        return tuple(dict.fromkeys(one.protocol for one in self.sections))

    def of(self, protocol: str = "") -> Section:
        """The main section of a protocol; that of the first if none is named."""
        wanted = protocol or self.protocols[0]
        return next(one for one in self.sections if one.protocol == wanted)

    def shown(self, protocol: str = "") -> list[list[str]]:
        """Heads, then lines, of the main section of a protocol; see `Section.shown`."""
        return self.of(protocol).shown()

    def told(self, protocol: str = "") -> list[str]:
        """What belongs around `shown`: its title, the basis, then the notes."""
        return self.of(protocol).told()

    @property
    def main(self) -> list[Section]:
        """The sections for a terminal: means, and every space with all its pairs."""
        return [
            one
            for one in self.sections
            if one.part != "labels" and not one.part.endswith("without duplicates")
        ]
