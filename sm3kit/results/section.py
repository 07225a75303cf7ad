"""The parts of every table of results: sections with columns, lines and cells, and their basis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sm3kit.results.numbers import Basis, Number

NONE, BEST, WRONG = "–", "*", "†"
INTERVAL = "95 % interval"


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and the value that it is sorted by.

    Args:
        text: as printed, such as "80.4 ± 0.3".
        value: what it is sorted by, as text; None for a cell that stays below all others.
        ends: of the 95 % interval as text; empty if it is not known, None if there is none to know.
        best: whether no line has a better number, as printed, and there is evidence that it is.
        number: what was measured; None for words.
        short: the text for a narrow terminal; empty if it is the same.
        small: smaller lines below the text, where there is room.
        kind: `reason` for one that tells why there is no number, `other` for a published number
            of other data, else empty.
        span: columns that it takes; the cells behind it are for formats that cannot join columns.
    """

    text: str
    value: str | None = None
    ends: tuple[str, ...] | None = None
    best: bool = False
    number: Number | None = None
    short: str = ""
    small: tuple[str, ...] = ()
    kind: str = ""
    span: int = 1

    def interval(self, between: str = " to ") -> str:
        """The interval, such as "78.1 to 82.6"; empty if there is none."""
        return between.join(self.ends or ())


@dataclass(frozen=True)
class Column:
    """One column of a section.

    Args:
        head: as shown.
        unit: `text` for names, `percent`, `points` of a difference, `rank`; empty for the rest.
        metric: such as `auc`, as in the record.
        label: the label, `mean`, or for ranks the direction of the search.
        better: `higher`, `lower`, or empty if no line is to be marked.
        narrow: the head on a narrow terminal; empty if it is left out there.
        interval: where a narrow terminal has the interval: in a `column` of its own, `inside` the
            cell, or, if empty, nowhere.
        group: the head that it shares with the columns beside it; empty for none.
    """

    head: str
    unit: str = ""
    metric: str = ""
    label: str = ""
    better: str = ""
    narrow: str = ""
    interval: str = ""
    group: str = ""

    @property
    def order(self) -> str:
        """The order that puts the best on top: `ascending` or `descending`."""
        return "ascending" if self.unit == "text" or self.better == "lower" else "descending"

    def cell(self, number: Number | None, small: Sequence[str] = ()) -> Cell:
        """A number as a cell, such as "80.4 ± 0.3"; a difference has its sign."""
        if number is None:
            return Cell(NONE, ends=())
        spread = "" if number.spread is None else f" ± {number.spread:.1f}"
        ends: tuple[str, ...] = ()
        if number.low is not None and number.high is not None:
            ends = self._round(number.low), self._round(number.high)
        text = f"{self._round(number.mean)}{spread}"
        return Cell(text, f"{number.mean:.6f}", ends, number=number, small=tuple(small))

    def rank_of(self, number: Number) -> float:
        """What decides which line is best: the mean as printed, higher is better."""
        rounded = round(number.mean, 1)
        return -rounded if self.better == "lower" else rounded

    def narrow_heads(self) -> list[str]:
        """The heads of `narrow_texts`."""
        heads = [self.narrow] if self.narrow else []
        return [*heads, INTERVAL] if self.interval == "column" else heads

    def narrow_texts(self, cell: Cell) -> list[str]:
        """The texts of a cell on a narrow terminal, with a star at the best of the column."""
        if not self.narrow:
            return []
        text = (cell.short or cell.text) + BEST * cell.best
        if self.interval == "inside" and cell.ends:
            text = f"{text} ({cell.interval(', ')})"
        if self.interval != "column":
            return [text]
        return [text, "" if cell.ends is None else cell.interval() or NONE]

    def _round(self, value: float) -> str:
        short = round(value, 1) + 0.0  # No "-0.0".
        return f"{short:+.1f}" if self.unit == "points" else f"{short:.1f}"


@dataclass(frozen=True)
class Line:
    """One line of a section.

    Args:
        cells: one for each column.
        name: of the row of the grid; the rest is of such rows alone, too.
        done, wanted: seeds.
        reason: why there is no number at all; empty if there are.
        leaky: whether it was selected on the split that it was measured on.
        seen, replaced: studies that were trained on before, and that have other images now.
        axes: {axis: value} of the row.
        block: the direction of a search, which it has in common with the lines around it.
    """

    cells: tuple[Cell, ...]
    name: str = ""
    done: int = 0
    wanted: int = 0
    reason: str = ""
    leaky: bool = False
    seen: int = 0
    replaced: int = 0
    axes: Mapping[str, Any] = field(default_factory=dict)
    block: str = ""


def direction_text(direction: str) -> str:
    """The direction of a search as a table shows it: "derm → clinic"."""
    return direction.replace("->", " → ")


@dataclass(frozen=True)
class Section:
    """One table with its caption.

    Args:
        title: as shown.
        columns: of names first.
        lines: in order.
        basis: what it rests on; only a comparison of two results goes without.
        notes: sentences below it, after the legend of its marks.
        foot: lines that are not sorted, the first of them in bold on a terminal.
        protocol: how it was measured.
        part: `means`, `labels`, `loss`, or the space of a matching.
        baseline: the row that the others are compared with, or empty.
    """

    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    basis: Basis | None = None
    notes: tuple[str, ...] = ()
    foot: tuple[Line, ...] = ()
    protocol: str = ""
    part: str = ""
    baseline: str = ""

    @property
    def every_line(self) -> tuple[Line, ...]:
        """The lines, then those of the foot."""
        return (*self.lines, *self.foot)

    def head_groups(self) -> list[tuple[str, int]]:
        """The shared heads of neighbouring columns, empty for none, and how many each has."""
        groups = groupby(self.columns, lambda column: column.group)
        return [(group, len(list(columns))) for group, columns in groups]

    def texts(self) -> list[list[str]]:
        """Heads, then one list per line, of what matters most: narrow enough for 80 columns.

        A star is at the best of a column, a dagger at a printed number with an error in it.
        """
        return [
            [head for column in self.columns for head in column.narrow_heads()],
            *(
                [
                    text
                    for column, cell in zip(self.columns, line.cells, strict=True)
                    for text in column.narrow_texts(cell)
                ]
                for line in self.every_line
            ),
        ]

    def narrow_names(self) -> int:
        """How many columns of `texts` at the left are names."""
        units = [column.unit for column in self.columns if column.narrow]
        return next(place for place, unit in enumerate([*units, ""]) if unit != "text")
