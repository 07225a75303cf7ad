"""The rows of a grid under one protocol: their lines, published numbers, basis and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sm3kit.core.errors import UnknownName
from sm3kit.evaluation.record_text import Record
from sm3kit.published.rows import MEAN, PaperRow
from sm3kit.published.tables import for_recipe, load, source
from sm3kit.results.best import mark_best
from sm3kit.results.measurement import RANKS, GridResults, Measurement, RowResults, measure
from sm3kit.results.numbers import Basis, Number, data_name, most
from sm3kit.results.section import NONE, WRONG, Cell, Column, Line, Section

# The paper's words for the protocols.
WORDS = {"match": "matching"}
LONGEST_REASON = 200


@dataclass(frozen=True)
class PublishedRow:
    """The published row that belongs to a result.

    Args:
        row: from the paper.
        comparable: whether data, split and protocol are ours.
    """

    row: PaperRow
    comparable: bool

    def beside(self, number: Number, metric: str, label: str = MEAN) -> Number:
        """Our number with the printed one beside it, where the paper has one."""
        cell = self.row.cells.get(metric, {}).get(label)
        if cell is None or cell.printed is None:
            return number
        scale = 100 if load().metrics[metric]["unit"] == "fraction" else 1
        printed, mark = cell.printed * scale, cell.mark()
        return replace(number, published=printed, mark=mark, comparable=self.comparable)

    def in_brackets(self, text: str) -> str:
        """A text, in brackets where the paper measured something else."""
        return text if self.comparable else f"[{text}]"


def published_row(results: GridResults, row: RowResults, protocol: str) -> PublishedRow | None:
    """The published row of the last recipe that has one; None if there is none.

    A point on an axis has none: the paper shows such points only in figure 5, without numbers.
    """
    if row.axes:
        return None
    paper = for_recipe(row.recipes, metrics_of(protocol)[0])
    if paper is None:
        return None
    names = [spec.partition(":")[0] for spec in results.data]
    ours = (names, results.split, WORDS.get(protocol, protocol))
    return PublishedRow(paper, ours == ([paper.dataset], paper.split, paper.protocol))


def published_cell(beside: PublishedRow | None, metrics: Sequence[str], label: str = MEAN) -> Cell:
    """What the paper printed for some metrics; a dagger is at a number with an error in it."""
    try:
        cells = [beside.row.cell(metric, label) for metric in metrics] if beside else []
    except UnknownName:
        cells = []
    if beside is None or not cells or cells[0].printed is None:
        return Cell(NONE, kind="other")
    wrong = WRONG * any(cell.finding for cell in cells)
    text = beside.in_brackets(" / ".join(cell.mark() for cell in cells) + wrong)
    short = beside.in_brackets(cells[0].bare() + wrong)
    kind = "" if beside.comparable else "other"
    return Cell(text, str(cells[0].printed), short=short, kind=kind)


def metrics_of(protocol: str) -> tuple[str, ...]:
    """The metrics that are shown as published beside a row."""
    return RANKS if protocol == "match" else ("auc",)


@dataclass(frozen=True)
class GridRows:
    """All rows of a grid under one protocol.

    Args:
        results: of the grid.
        protocol: how they were measured.
        measurements: of the rows, in order.
        besides: the published rows, in the same order.
    """

    results: GridResults
    protocol: str
    measurements: tuple[Measurement, ...]
    besides: tuple[PublishedRow | None, ...]

    @classmethod
    def of(cls, results: GridResults, protocol: str, resamples: int) -> GridRows:
        """The rows of a grid, from their records and files of predictions."""
        measurements = tuple(measure(row, protocol, resamples) for row in results.rows)
        besides = tuple(published_row(results, row, protocol) for row in results.rows)
        return cls(results, protocol, measurements, besides)

    @property
    def records(self) -> list[Record]:
        """The records of all rows and seeds."""
        return [record for measurement in self.measurements for record in measurement.records]

    def section(
        self,
        measured: Sequence[Column],
        cells: Sequence[Sequence[Cell]],
        published: str,
        **about: Any,
    ) -> Section:
        """A section of all rows.

        Args:
            measured: the columns of numbers.
            cells: of these columns, for each row.
            published: the head of the column of published numbers; empty for none.
            about: the other fields of the section.
        """
        names = Column("row", "text", narrow="row"), Column("seeds", narrow="seeds")
        last = [Column(published, narrow="published")] if published else []
        columns = (*names, *measured, *last)
        metrics = metrics_of(self.protocol)
        lines = []
        for place, (line, beside) in enumerate(zip(cells, self.besides, strict=True)):
            more = [published_cell(beside, metrics)] if published else []
            lines.append(self._line(place, line, more))
        marked = mark_best(columns, lines)
        return Section(columns=columns, lines=marked, protocol=self.protocol, **about)

    def basis(self, support: str) -> Basis:
        """What a section rests on; `support` in words, empty if nothing is measured yet.

        The rule of selection is that of the records: matching, for example, has nothing to select.
        """
        rules = sorted({record["select"] for record in self.records}) or [self.results.select]
        return Basis(
            ", ".join(data_name(spec) for spec in self.results.data),
            self.results.split,
            ", ".join(rules),
            self.results.seeds,
            support or "support not known before the first result",
            "test_best" in rules or any(record["leaky"] for record in self.records),
            most(self.records, "seen"),
            most(self.records, "replaced"),
        )

    def notes(self, how: str) -> tuple[str, ...]:
        """What belongs below a section: `how` it was counted, what is missing, what the paper says."""
        notes = [how]
        for row, measurement in zip(self.results.rows, self.measurements, strict=True):
            reasons: dict[str, list[str]] = {}
            for seed, reason in sorted(row.failed.items()):
                if seed not in measurement.seeds:
                    reasons.setdefault(self._in_one_line(reason), []).append(str(seed))
            for reason, seeds in reasons.items():
                word = "seed" if len(seeds) == 1 else "seeds"
                notes.append(f"{row.name}, {word} {', '.join(seeds)} failed: {reason}")
            if measurement.doubt:
                doubt = f"no interval and no paired difference. {measurement.doubt}"
                notes.append(f"{row.name}: {doubt}")
        known = [beside for beside in self.besides if beside]
        if known:
            comparable = all(beside.comparable for beside in known)
            notes.append(source([beside.row for beside in known], comparable=comparable))
        wrong = [beside.row.error(metrics_of(self.protocol)) for beside in known]
        notes += [f"{WRONG} wrong in the paper, {error}" for error in dict.fromkeys(wrong) if error]
        return tuple(notes)

    def _line(self, place: int, cells: Sequence[Cell], published: Sequence[Cell]) -> Line:
        """A row as a line: its numbers, or the reason why there are none."""
        row, records = self.results.rows[place], self.measurements[place].records
        reason = ""
        if not any(cell.number for cell in cells):
            reason = self._reason(row, self.measurements[place])
            state = reason.partition(":")[0]
            first = Cell(reason, ends=(), short=state, kind="reason", span=len(cells))
            cells = [first, *cells[1:]]
        done, wanted = len(records), len(self.results.seeds)
        return Line(
            (Cell(row.name, row.name), Cell(f"{done}/{wanted}", str(done)), *cells, *published),
            row.name,
            done,
            wanted,
            reason,
            any(record["leaky"] for record in records),
            most(records, "seen"),
            most(records, "replaced"),
            row.axes,
        )

    def _reason(self, row: RowResults, measurement: Measurement) -> str:
        if measurement.records:
            return "undefined"
        if row.failed:
            return f"failed: {self._in_one_line(row.failed[min(row.failed)])}"
        others = [seeds for name, seeds in row.records.items() if name != self.protocol]
        if any(len(seeds) >= len(self.results.seeds) for seeds in others):
            return f"no result with {self.protocol}"
        return "not yet done"

    def _in_one_line(self, reason: str) -> str:
        """A reason in one line, without the folder of the grid."""
        text = " ".join(reason.replace(str(self.results.folder), ".").split())
        return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"
