"""What it costs the rows of a grid when a modality is missing, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from sm3kit.evaluation.missing.dropped import WITHOUT, protocol_and_drop
from sm3kit.evaluation.settings import PREDICTING
from sm3kit.results.grid_rows import GridRows
from sm3kit.results.measurement import GridResults, Measurement, difference, metric_number
from sm3kit.results.numbers import Number
from sm3kit.results.section import Cell, Column, Section

HOW = (
    "Mean AUC over the labels in %, mean over seeds; without a modality minus with all, in percentage "
    "points"
)
INTERVALS = ", with 95 % intervals paired by study"
UNDEFINED = "a mean AUC is missing"


def loss_sections(results: GridResults, resamples: int) -> list[Section]:
    """For each protocol with an AUC that was measured without a modality: all rows, each against itself.

    Args:
        results: of the grid.
        resamples: draws of the bootstrap behind the intervals.
    """
    without: dict[str, list[str]] = {}
    for measure in results.protocols:
        protocol, drop = protocol_and_drop(measure)
        if drop and protocol in PREDICTING:
            without.setdefault(protocol, []).append(measure)
    return [_section(results, name, own, resamples) for name, own in without.items()]


def _auc(row: Measurement) -> Number | None:
    mean = row.summary()["mean"] if row.records else {}
    return metric_number(mean, "auc", len(row.records), "")


def _section(
    results: GridResults, protocol: str, measures: Sequence[str], resamples: int
) -> Section:
    rows = GridRows.of(results, protocol, resamples)
    dropped = [GridRows.of(results, measure, resamples) for measure in measures]
    columns = [Column("AUC, all modalities", "percent", "auc", "mean", narrow="AUC")]
    for measure in measures:
        word = measure.partition(WITHOUT)[2]
        head, short = f"without {word}", f"-{word}"
        columns.append(Column(head, "points", "loss", word, "", short, "inside"))
    cells: list[list[Cell]] = []
    doubts: list[str] = []
    for whole in rows.measurements:
        line = [columns[0].cell(_auc(whole))]
        for column, own in zip(columns[1:], dropped, strict=True):
            cell, doubt = _loss(whole, own, column)
            line.append(cell)
            doubts += [f"{whole.name}, {column.head}: not paired. {doubt}"] if doubt else []
        cells.append(line)
    studies = next((row.studies() for row in rows.measurements if row.records), "")
    return rows.section(
        columns,
        {"": cells},
        "",
        UNDEFINED,
        [f"{HOW}{INTERVALS if resamples else ''}.", *dict.fromkeys(doubts)],
        title=f"{protocol}, loss without a modality",
        basis=rows.basis(studies),
        part="loss",
    )


def _loss(whole: Measurement, without: GridRows, column: Column) -> tuple[Cell, str]:
    """What a row loses, or why that is not known; and why it is not paired, if it is not.

    Nothing is lost where the row does not have the modality, or has no other.
    """
    names = [row.name for row in without.measurements]
    if whole.name not in names:
        return column.cell(None), ""
    place = names.index(whole.name)
    loss, doubt = difference(whole, without.measurements[place])
    if loss is None:
        state = without.reason(place).partition(":")[0]  # In full in the table of that measure.
        return Cell(state, kind="reason"), doubt
    return column.cell(loss), doubt
