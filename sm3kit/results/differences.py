"""Two grids row by row: what the second has more than the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sm3kit.results.cells import NONE, Column, Number
from sm3kit.results.results import GridResults, RowResults
from sm3kit.results.seeds import Measured, difference, measured, metric_number

AUC = Column("auc", "mean", "AUC")
MORE = Column("difference", "mean", "difference", "points")
HEADS = ("row", "protocol", "first", "second", "difference", "note")


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
        One entry for each protocol with labels and row; none for "match", which has no AUC.
    """
    protocols = dict.fromkeys((*first.protocols, *second.protocols))
    names = dict.fromkeys(row.name for row in (*first.rows, *second.rows))
    return [
        _of_row(name, protocol, (first, second), resamples)
        for protocol in protocols
        if protocol != "match"
        for name in names
    ]


def shown(rows: Sequence[Difference]) -> list[list[str]]:
    """Heads, then one list of cells per row, for a terminal."""
    table = [list(HEADS)]
    for row in rows:
        ends = MORE.interval(row.more, ", ")
        more = f"{MORE.value(row.more)} ({ends})" if ends else MORE.value(row.more)
        numbers = [AUC.with_spread(one) for one in (row.first, row.second)]
        table.append([row.name, row.protocol, *numbers, more, row.note or NONE])
    return table


def _of_row(
    name: str, protocol: str, grids: tuple[GridResults, GridResults], resamples: int
) -> Difference:
    rows = [next((row for row in grid.rows if row.name == name), None) for grid in grids]
    found = [measured(row or RowResults(name), protocol, resamples) for row in rows]
    numbers = [_auc(one) for one in found]
    more, doubt = difference(*found)
    notes = _absences(rows, found) or _other_rules(grids, found)
    if doubt:
        notes.append(f"not paired: {doubt}")
    return Difference(name, protocol, numbers[0], numbers[1], more, "; ".join(notes))


def _auc(found: Measured) -> Number | None:
    if not found.records:
        return None
    summary = found.summary()
    studies = f"{summary['cases']} studies"
    return metric_number(summary["mean"], "auc", len(found.seeds), studies)


def _absences(rows: Sequence[RowResults | None], found: Sequence[Measured]) -> list[str]:
    notes = []
    for word, row, one in zip(("first", "second"), rows, found, strict=True):
        if row is None:
            notes.append(f"not in the {word}")
        elif not one.records:
            notes.append(f"{'failed' if row.failed else 'no result yet'} in the {word}")
    return notes


def _other_rules(grids: tuple[GridResults, GridResults], found: Sequence[Measured]) -> list[str]:
    """What the two have not in common and a reader of the difference should know."""
    notes = []
    for word in ("select", "split"):
        ours, theirs = (getattr(grid, word) for grid in grids)
        if ours != theirs:
            notes.append(f"{word} {ours} and {theirs}")
    if found[0].seeds != found[1].seeds:
        seeds = " and ".join(", ".join(map(str, one.seeds)) for one in found)
        notes.append(f"seeds {seeds}")
    return notes
