"""Two grids or two runs: how much the second improves on the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sm3kit.evaluation.missing.dropped import protocol_and_drop
from sm3kit.evaluation.record_text import Record, studies_text, supported_name
from sm3kit.evaluation.settings import PREDICTING
from sm3kit.results.measurement import (
    PERCENT,
    GridResults,
    Measurement,
    RowResults,
    difference,
    measure,
    metric_number,
)
from sm3kit.results.numbers import Number
from sm3kit.results.section import NONE, Cell, Column, Line, Section
from sm3kit.results.table import Table

DIFFERENCE = (
    "AUC, second minus first, in percentage points; an interval that includes 0 is no evidence of "
    "a difference."
)
COLUMNS = (
    Column("row", "text", narrow="row"),
    Column("protocol", narrow="protocol"),
    Column("first", "percent", "auc", "mean", narrow="first"),
    Column("second", "percent", "auc", "mean", narrow="second"),
    Column("difference", "points", "difference", "mean", narrow="difference", interval="inside"),
    Column("note", narrow="note"),
)


ABOVE_TEXT = "above 0: the share of resamples in which the second is better."
MORE = Column("AUC difference", "points", "auc", narrow="AUC", interval="column")
ABOVE = Column("resamples above 0", narrow="above 0")


@dataclass(frozen=True)
class Difference:
    """One row of both grids under one protocol, by its mean AUC.

    Args:
        name: of the row.
        protocol: how it was measured.
        first, second: mean AUC in percent; None if the grid has none.
        more: second minus first in points, with an interval where the cases are the same.
        note: what else is to be said, such as why there is no interval.
    """

    name: str
    protocol: str
    first: Number | None
    second: Number | None
    more: Number | None = None
    note: str = ""


def diff(first: GridResults, second: GridResults, resamples: int = 2000) -> list[Difference]:
    """The rows of both grids, in the order of the first, then those of the second alone.

    Args:
        first, second: with rows of the same name; the seeds of each are averaged.
        resamples: draws of the bootstrap behind the intervals.

    Returns:
        One entry for each protocol with labels and row that it measures; none for those without an
        AUC.
    """
    protocols = dict.fromkeys((*first.protocols, *second.protocols))
    return [
        _of_row(name, protocol, (first, second), resamples)
        for protocol in protocols
        if protocol_and_drop(protocol)[0] in PREDICTING
        for name in dict.fromkeys(
            row.name for row in (*first.rows, *second.rows) if row.measures(protocol)
        )
    ]


def difference_section(rows: Sequence[Difference]) -> Section:
    """The rows as a table."""
    lines = []
    for row in rows:
        numbers = zip(COLUMNS[2:5], (row.first, row.second, row.more), strict=True)
        cells = [column.cell(number) for column, number in numbers]
        names = Cell(row.name, row.name), Cell(row.protocol, row.protocol)
        lines.append(Line((*names, *cells, Cell(row.note or NONE, row.note))))
    return Section("difference of two grids", COLUMNS, tuple(lines), notes=(DIFFERENCE,))


def comparison_section(record: Record) -> Section:
    """How much the second of two runs improves on the first in the AUC of each label, and on average.

    Args:
        record: as `compare_runs` gives it.
    """
    columns = Column("label", "text", narrow="label"), MORE, ABOVE
    lines = []
    part = record["mean"].get("supported")
    means = {"mean": record["mean"], **({supported_name(part): part} if part else {})}
    for name, row in {**record["labels"], **means}.items():
        share = row["above_zero"]["auc"]
        above = Cell(NONE if share is None else f"{PERCENT * share:.0f} %")
        more = metric_number(row, "auc", 1, studies_text(record))
        lines.append(Line((Cell(name, name), MORE.cell(more), above)))
    notes = (DIFFERENCE, ABOVE_TEXT)
    return Section(f"{record['protocol']}, second minus first", columns, tuple(lines), notes=notes)


def comparison_table(record: Record) -> Table:
    """The difference of two runs as a table with a single section, for any format.

    Args:
        record: as `compare_runs` gives it.
    """
    section = comparison_section(record)
    return Table(section.title, (section,))


def _of_row(
    name: str, protocol: str, grids: tuple[GridResults, GridResults], resamples: int
) -> Difference:
    rows = [
        next((row for row in grid.rows if row.name == name and row.measures(protocol)), None)
        for grid in grids
    ]
    both = [measure(row or RowResults(name), protocol, resamples) for row in rows]
    numbers = [_auc(measurement) for measurement in both]
    more, doubt = difference(*both)
    notes = _absences(rows, both) or _other_rules(grids, both)
    if doubt:
        notes.append(f"not paired: {doubt}")
    return Difference(name, protocol, numbers[0], numbers[1], more, "; ".join(notes))


def _auc(measurement: Measurement) -> Number | None:
    if not measurement.records:
        return None
    summary = measurement.summary()
    studies = f"{summary['cases']} studies"
    return metric_number(summary["mean"], "auc", len(measurement.seeds), studies)


def _absences(rows: Sequence[RowResults | None], both: Sequence[Measurement]) -> list[str]:
    notes = []
    for word, row, measurement in zip(("first", "second"), rows, both, strict=True):
        if row is None:
            notes.append(f"not in the {word}")
        elif not measurement.records:
            notes.append(f"{'failed' if row.failed else 'no result yet'} in the {word}")
    return notes


def _other_rules(grids: tuple[GridResults, GridResults], both: Sequence[Measurement]) -> list[str]:
    """What the two have not in common and a reader of the difference should know."""
    notes = []
    for word in ("select", "split"):
        ours, theirs = (getattr(grid, word) for grid in grids)
        if ours != theirs:
            notes.append(f"{word} {ours} and {theirs}")
    if both[0].seeds != both[1].seeds:
        seeds = " and ".join(", ".join(map(str, measurement.seeds)) for measurement in both)
        notes.append(f"seeds {seeds}")
    return notes
