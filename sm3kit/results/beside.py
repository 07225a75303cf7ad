"""What the paper printed, beside our numbers and in their unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sm3kit.core.errors import UnknownName
from sm3kit.evaluation.missing.dropped import protocol_and_drop
from sm3kit.published.rows import MEAN, PaperNumber, PaperRow
from sm3kit.published.tables import for_recipe, is_reduced, load
from sm3kit.results.measurement import GridResults, RowResults
from sm3kit.results.numbers import Number
from sm3kit.results.section import NONE, WRONG, Cell


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
        cell = in_percent(cell, metric)
        return replace(number, published=cell.printed, mark=cell.mark(), comparable=self.comparable)

    def in_brackets(self, text: str) -> str:
        """A text, in brackets where the paper measured something else."""
        return text if self.comparable else f"[{text}]"


def in_percent(cell: PaperNumber, metric: str) -> PaperNumber:
    """A printed number in the unit of our tables: fractions become percentages, 0.42 is 42."""
    if load().metrics[metric]["unit"] != "fraction":
        return cell
    printed, corrected, row_mean = (
        None if value is None else round(100 * value, 6)
        for value in (cell.printed, cell.corrected, cell.row_mean)
    )
    return replace(
        cell,
        printed=printed,
        corrected=corrected,
        row_mean=row_mean,
        decimals=max(0, cell.decimals - 2),
    )


def published_row(results: GridResults, row: RowResults, protocol: str) -> PublishedRow | None:
    """The published row of the last recipe that has one; None if there is none.

    A point on an axis has none: the paper shows such points only in figure 5, without numbers. Nor
    have studies that lose a modality.
    """
    if row.axes or protocol_and_drop(protocol)[1]:
        return None
    paper = for_recipe(row.recipes, results.metrics(protocol)[0])
    if paper is None:
        return None
    names = [spec.partition(":")[0] for spec in results.data]
    same = (names, results.split) == ([paper.dataset], paper.split)
    same = same and paper.is_measured_by(protocol)
    return PublishedRow(paper, same and not is_reduced(row.recipes))


def published_cell(beside: PublishedRow | None, metrics: Sequence[str], label: str = MEAN) -> Cell:
    """What the paper printed for some metrics; a dagger is at a number with an error in it."""
    try:
        cells = [in_percent(beside.row.cell(metric, label), metric) for metric in metrics if beside]
    except UnknownName:
        cells = []
    if beside is None or not cells or cells[0].printed is None:
        return Cell(NONE, kind="other")
    wrong = WRONG * any(cell.finding for cell in cells)
    text = beside.in_brackets(" / ".join(cell.mark() for cell in cells) + wrong)
    short = beside.in_brackets(cells[0].bare() + wrong)
    kind = "" if beside.comparable else "other"
    return Cell(text, str(cells[0].printed), short=short, kind=kind)


def marks_in_percent(row: PaperRow, metrics: Sequence[str]) -> str:
    """The means of some metrics in our unit, with what is wrong, such as "7.23 / 42 / 73"."""
    return " / ".join(in_percent(row.cell(metric), metric).mark() for metric in metrics)
