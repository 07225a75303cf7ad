"""What the paper printed for a row, and whether it may be compared with ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sm3kit.published.rows import Row
from sm3kit.published.tables import for_recipe, load
from sm3kit.results.cells import Number
from sm3kit.results.results import GridResults, RowResults

# The paper's words for the protocols.
WORDS = {"match": "matching"}
RANKS = ("mean_rank", "acc@1", "acc@5")


@dataclass(frozen=True)
class Printed:
    """The published row that belongs to a row of a grid.

    Args:
        row: from the paper.
        comparable: whether data, split and protocol are ours.
    """

    row: Row
    comparable: bool

    def beside(self, number: Number, metric: str, label: str = "mean") -> Number:
        """Our number with the printed one beside it, where the paper has one."""
        labels = self.row.cells.get(metric, {})
        cell = labels.get(label)
        if cell is None or cell.printed is None:
            return number
        published = cell.printed * (100 if unit(metric) == "fraction" else 1)
        mark = cell.mark()
        return replace(number, published=published, mark=mark, comparable=self.comparable)

    def text(self, metrics: Sequence[str]) -> str:
        """The printed means of some metrics, such as "76.9 (row mean 78.0)"."""
        return " / ".join(self.row.cell(metric).mark() for metric in metrics)

    def short(self, metrics: Sequence[str]) -> str:
        """As `text`, without what is wrong."""
        cells = [self.row.cell(metric) for metric in metrics]
        return " / ".join(replace(cell, finding="").mark() for cell in cells)

    def error(self, metrics: Sequence[str]) -> str:
        """What is wrong in the printed means, in a sentence; empty if nothing is known."""
        cells = [self.row.cell(metric) for metric in metrics]
        found = [f"{cell.mark()}. {cell.finding}" for cell in cells if cell.finding]
        return f"table {self.row.table}, {self.row.name}: {' '.join(found)}" if found else ""


def printed(results: GridResults, row: RowResults, protocol: str) -> Printed | None:
    """The published row of the last recipe that has one; None if there is none.

    A point on an axis has none: the paper shows such points only in figure 5, without numbers.
    """
    if row.axes:
        return None
    found = for_recipe(row.recipes, "mean_rank" if protocol == "match" else "auc")
    if found is None:
        return None
    names = [spec.partition(":")[0] for spec in results.data]
    ours = (names, results.split, WORDS.get(protocol, protocol))
    return Printed(found, ours == ([found.dataset], found.split, found.protocol))


def metrics_of(protocol: str) -> tuple[str, ...]:
    """The metrics that are shown as published beside a row."""
    return RANKS if protocol == "match" else ("auc",)


def unit(metric: str) -> str:
    """`percent`, `fraction` or `rank`, as the paper prints a metric."""
    return str(load().metrics[metric]["unit"])


def source(found: Sequence[Printed]) -> str:
    """Where the printed numbers of some rows come from, and whether they may be compared."""
    if not found:
        return ""
    rows = [one.row for one in found]
    splits = sorted({row.split for row in rows})
    protocols = sorted({row.protocol for row in rows})
    tables = sorted({row.table for row in rows})
    selections = sorted({row.selection for row in rows})
    runs = sorted({row.runs for row in rows})
    text = (
        f"published on Derm7pt: {load().citation}, table {', '.join(tables)}; split "
        f"{', '.join(splits)}, {', '.join(protocols)}, {', '.join(map(str, runs))} run, "
        f"selection {' or '.join(selections)}"
    )
    if all(one.comparable for one in found):
        return f"{text}."
    return f"{text}. In brackets: of other data, split or protocol, not comparable with ours."
