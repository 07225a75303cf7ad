"""What it costs the rows of a grid when a modality is missing, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sm3kit.evaluation.missing.dropped import WITHOUT, protocol_and_drop
from sm3kit.evaluation.settings import PREDICTING
from sm3kit.results.grid_rows import GridRows
from sm3kit.results.measurement import GridResults, Measurement, difference, metric_number
from sm3kit.results.numbers import Number
from sm3kit.results.section import Cell, Column, Section

HOW = (
    "Mean AUC over the labels in %, mean over seeds; without a modality minus with all, in percentage "
    "points, with 95 % intervals paired by study."
)
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
    dropped = [GridRows.of(results, measure, resamples).measurements for measure in measures]
    columns = [Column("AUC, all modalities", "percent", "auc", "mean", narrow="AUC")]
    for measure in measures:
        word = measure.partition(WITHOUT)[2]
        head, short = f"without {word}", f"-{word}"
        columns.append(Column(head, "points", "loss", word, "", short, "inside"))
    cells: list[list[Cell]] = []
    doubts: list[str] = []
    for place, whole in enumerate(rows.measurements):
        # A table of numbers has it already, among the means.
        line = [replace(columns[0].cell(_auc(whole)), number=None)]
        for column, own in zip(columns[1:], dropped, strict=True):
            loss, doubt = difference(whole, own[place])
            line.append(column.cell(loss))
            doubts += [f"{whole.name}, {column.head}: not paired. {doubt}"] if doubt else []
        cells.append(line)
    return rows.section(
        columns,
        {"": cells},
        "",
        UNDEFINED,
        [HOW, *dict.fromkeys(doubts)],
        title=f"{protocol}, loss without a modality",
        basis=rows.basis(whole.studies() if rows.records else ""),
        part="loss",
    )
