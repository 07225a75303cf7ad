"""The rows of a grid under one protocol: their lines, basis and notes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from sm3kit.evaluation.missing.dropped import protocol_and_drop
from sm3kit.evaluation.record_text import Record
from sm3kit.published.tables import source
from sm3kit.results.beside import PublishedRow, published_cell, published_row
from sm3kit.results.measurement import GridResults, Measurement, measure
from sm3kit.results.numbers import Basis, Number, data_name, most
from sm3kit.results.section import WRONG, Cell, Column, Line, Section, direction_text
from sm3kit.runs.supervision import supervision_notes

LONGEST_REASON = 200
UNDEFINED = "undefined"
# Protocols that train nothing: they measure the networks as they are.
MEASURE_NETWORKS = ("knn", "match")


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
        """The rows of a grid that a protocol measures, with the baseline if it is one of them."""
        rows = [row for row in results.rows if row.measures(protocol)]
        known = results.baseline in [row.name for row in rows]
        results = replace(results, rows=rows, baseline=results.baseline if known else "")
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
        blocks: Mapping[str, Sequence[Sequence[Cell]]],
        published: str,
        undefined: str,
        notes: Sequence[str],
        **about: Any,
    ) -> Section:
        """A section of all rows, once for each block.

        Args:
            measured: the columns of numbers.
            blocks: {name: the cells of these columns for each row}; a single one has no name.
            published: the head of the column of published numbers; empty for none.
            undefined: why a row that was measured may have no number, in words.
            notes: below the section.
            about: the other fields of the section.
        """
        named = [Column("direction", "text")] if "" not in blocks else []
        names = Column("row", "text", narrow="row"), Column("seeds", narrow="seeds")
        last = [Column(published, narrow="published")] if published else []
        columns = (*named, *names, *measured, *last)
        metrics = self.results.metrics(self.protocol)
        lines = []
        for block, rows in blocks.items():
            for place, cells in enumerate(rows):
                more = [published_cell(self.besides[place], metrics)] if published else []
                lines.append(self._line(place, block, cells, more))
        without = dict.fromkeys(line.name for line in lines if _is_undefined(line))
        reasons = [f"{', '.join(without)}: {UNDEFINED}, as {undefined}."] if without else []
        return Section(
            columns=columns,
            lines=mark_best(columns, lines),
            protocol=self.protocol,
            notes=(*notes, *reasons),
            baseline=self.results.baseline,
            **about,
        )

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
        notes += self.on_runs()
        known = [beside for beside in self.besides if beside]
        if known:
            notes.append(source(beside.row for beside in known))
        metrics = self.results.metrics(self.protocol)
        wrong = [beside.row.error(metrics) for beside in known]
        notes += [f"{WRONG} wrong in the paper, {error}" for error in dict.fromkeys(wrong) if error]
        return tuple(notes)

    def on_runs(self) -> list[str]:
        """Which rows are equal by design, and which of them had weak labels."""
        rows = ((row.name, [record["of"] for record in row.records]) for row in self.measurements)
        return [*self.equal_rows(), *supervision_notes(rows)]

    def equal_rows(self) -> list[str]:
        """Which rows have to be equal since they are the same networks, with the reason."""
        if protocol_and_drop(self.protocol)[0] not in MEASURE_NETWORKS:
            return []
        rows: dict[str, list[Measurement]] = {}
        for row in self.measurements:
            parts = ("space", "labels", "mean")
            numbers = [[record.get(part) for part in parts] for record in row.records]
            if numbers:
                key = json.dumps([row.seeds, numbers], sort_keys=True)
                rows.setdefault(key, []).append(row)
        return [
            f"{', '.join(row.name for row in equal)}: equal by design. Stage 2 freezes the networks "
            f"of stage 1, and {self.protocol} measures these networks alone."
            for equal in rows.values()
            if len({record["of"]["stage"] for row in equal for record in row.records}) > 1
        ]

    def _line(
        self, place: int, block: str, cells: Sequence[Cell], published: Sequence[Cell]
    ) -> Line:
        """A row as a line: its numbers, or the reason why there are none."""
        row, records = self.results.rows[place], self.measurements[place].records
        reason = ""
        if not any(cell.number for cell in cells):
            reason = self.reason(place)
            state = reason.partition(":")[0]
            first = Cell(reason, short=state, kind="reason", span=len(cells))
            cells = [first, *(Cell("") for _ in cells[1:])]
        done, wanted = len(records), len(self.results.seeds)
        named = [Cell(direction_text(block), block)] if block else []
        names = Cell(row.name, row.name), Cell(f"{done}/{wanted}", str(done))
        return Line(
            (*named, *names, *cells, *published),
            row.name,
            done,
            wanted,
            reason,
            any(record["leaky"] for record in records),
            most(records, "seen"),
            most(records, "replaced"),
            row.axes,
            block,
        )

    def reason(self, place: int) -> str:
        """Why the row at a place has no number."""
        row = self.results.rows[place]
        if self.measurements[place].records:
            return UNDEFINED
        if row.failed:
            return f"failed: {self._in_one_line(row.failed[min(row.failed)])}"
        done = any(len(seeds) >= len(self.results.seeds) for seeds in row.records.values())
        # Where it is not known how a row is measured, what is done under another protocol is all.
        return f"no result with {self.protocol}" if done and not row.protocols else "not yet done"

    def _in_one_line(self, reason: str) -> str:
        """A reason in one line, without the folder of the grid."""
        text = " ".join(reason.replace(str(self.results.folder), ".").split())
        return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def mark_best(columns: Sequence[Column], lines: Iterable[Line]) -> tuple[Line, ...]:
    """The lines with the best number of each column marked, in each block of lines for itself.

    Numbers are compared as they are printed, so that several may be the best. A column with less
    than two numbers has no best. A number at chance is not marked, and neither is one whose
    difference to the baseline may be 0.
    """
    marked: list[Line] = []
    for _, block in groupby(lines, lambda line: line.block):
        marked += _mark_block(columns, list(block))
    return tuple(marked)


def _is_undefined(line: Line) -> bool:
    """Whether a cell has no number although it was measured."""
    return any(cell.kind == "reason" and cell.text == UNDEFINED for cell in line.cells)


def _mark_block(columns: Sequence[Column], lines: list[Line]) -> list[Line]:
    for place, column in enumerate(columns):
        numbers = [line.cells[place].number for line in lines]
        known = [number for number in numbers if number]
        if not column.better or len(known) < 2:
            continue
        for row, number in enumerate(numbers):
            if number and _is_best(column, number, known):
                cells = list(lines[row].cells)
                cells[place] = replace(cells[place], best=True)
                lines[row] = replace(lines[row], cells=tuple(cells))
    return lines


def _is_best(column: Column, number: Number, known: Sequence[Number]) -> bool:
    """Whether it is on top with evidence: the baseline, too, has to differ from all others."""
    if column.rank_of(number) < max(map(column.rank_of, known)) or number.at_chance:
        return False
    return number.differs if number.gain else all(other.differs for other in known)
