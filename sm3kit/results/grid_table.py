"""From what a grid has measured to its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sm3kit.evaluation.missing.dropped import protocol_and_drop
from sm3kit.evaluation.record_text import (
    interval_note,
    reported_name,
    reporting_notes,
    support_text,
)
from sm3kit.evaluation.settings import Settings
from sm3kit.results.beside import PublishedRow
from sm3kit.results.clustering.of_grid import cluster_sections
from sm3kit.results.grid_losses import loss_sections
from sm3kit.results.grid_ranks import rank_sections
from sm3kit.results.grid_rows import GridRows
from sm3kit.results.measurement import (
    GridResults,
    Measurement,
    metric_number,
    summary_of_gain,
    with_evidence,
)
from sm3kit.results.numbers import MEANS, Basis, Number
from sm3kit.results.section import Cell, Column, Section
from sm3kit.results.table import Table

MEAN = "mean"
HOW = "In %, mean over seeds."
INTERVALS = (
    " 95 % intervals: bootstrap over patients or lesions ({resamples:,} resamples), seed variance "
    "not included."
)
PAIRED = " Difference to {baseline}: mean {metric} in percentage points, paired by study."
NO_AUC = "no label has enough studies both of the reported class and against it"

Summary = Mapping[str, Any]


def tabulate(results: GridResults, resamples: int = 2000) -> Table:
    """The table of a grid; equal results give an equal table, wherever and whenever.

    Args:
        results: what is measured so far; rows without a result say why.
        resamples: draws of the bootstrap behind the intervals; 0 leaves these out and is quick.

    Returns:
        For each protocol with labels a section of means and one of the AUC of each label; for
        "match" a section for each space, for "clusters" means and labels. The default protocol comes
        first. Last, for each protocol that was measured without a modality, what that costs.
    """
    if results.baseline not in [row.name for row in results.rows]:
        # The points of a product have names of their own.
        results = replace(results, baseline="")
    sections: list[Section] = []
    for protocol in sorted(results.protocols, key=lambda name: name != Settings().protocol):
        rows = GridRows.of(results, protocol, resamples)
        if protocol == "match":
            sections += rank_sections(rows)
        elif protocol_and_drop(protocol)[0] == "clusters":
            sections += cluster_sections(rows)
        else:
            how = HOW + INTERVALS.format(resamples=resamples) * bool(resamples)
            sections += _label_sections(rows, how)
    sections += loss_sections(results, resamples)
    return Table(results.title, tuple(sections), dict(results.axes), results.baseline)


def _label_sections(rows: GridRows, how: str) -> list[Section]:
    """The means, and the AUC of each label as soon as something is measured."""
    summaries = [row.summary() if row.records else None for row in rows.measurements]
    gains, doubts = _gains(rows)
    known = [summary for summary in summaries if summary]
    basis = rows.basis(_support(known))
    reporting = _reporting(known)
    everything = list(zip(rows.measurements, summaries, gains, rows.besides, strict=True))
    sections = [_means(rows, everything, basis, how, [*doubts, *reporting])]
    names = list(dict.fromkeys(name for summary in known for name in summary["labels"]))
    if names:
        metric, head, better = _compared_by(rows)
        columns = [
            Column(name, "percent", metric, name, better, group=f"{head}, %") for name in names
        ]
        # The first label stands for all on a terminal.
        columns[0] = replace(columns[0], narrow=head, interval="column")
        cells = [
            [_label_cell(column, _number(*row, column)) for column in columns] for row in everything
        ]
        title = f"{rows.protocol}, {head} of each label"
        notes = [how, *rows.on_runs(), *reporting]
        sections.append(
            rows.section(
                columns, {"": cells}, "", NO_AUC, notes, title=title, basis=basis, part="labels"
            )
        )
    return sections


Row = tuple[Measurement, Summary | None, Summary | None, PublishedRow | None]


def _means(
    rows: GridRows, everything: Sequence[Row], basis: Basis, how: str, more: Sequence[str]
) -> Section:
    baseline, group = rows.results.baseline, "mean over labels, %"
    metric, name, better = _compared_by(rows)
    columns = [Column(name, "percent", metric, MEAN, better, name, "column", group)]
    # The terminal has no room for the others.
    columns += [
        Column(head, "percent", other, MEAN, _better(other), group=group)
        for other, head in MEANS.items()
        if other != metric
    ]
    cells = [[column.cell(_number(*row, column)) for column in columns] for row in everything]
    if baseline:
        head = f"difference to {baseline}"
        columns.append(Column(head, "points", "difference", MEAN, "", head, "inside"))
        for row, line in zip(everything, cells, strict=True):
            line.append(columns[-1].cell(_difference(*row, metric)))
    paired = PAIRED.format(baseline=baseline, metric=name) if baseline else ""
    return rows.section(
        columns,
        {"": cells},
        f"published {name}" if any(rows.besides) else "",
        NO_AUC,
        [*rows.notes(how + paired), *more],
        title=f"{rows.protocol}, mean of the labels",
        basis=basis,
        part="means",
    )


def _compared_by(rows: GridRows) -> tuple[str, str, str]:
    """The metric that rows are compared by: its name, its head, and what is better."""
    metric = rows.results.metric
    return metric, MEANS[metric], _better(metric)


def _better(metric: str) -> str:
    """Each of the others alone is easily high, so that none of them is marked as the best."""
    return "higher" if metric == "auc" else ""


def _gains(rows: GridRows) -> tuple[list[Summary | None], list[str]]:
    """What each row has more than the baseline, and what is to be said of it."""
    baseline = next((row for row in rows.measurements if row.name == rows.results.baseline), None)
    gains: list[Summary | None] = []
    doubts = []
    for row in rows.measurements:
        if baseline is None or row is baseline:
            gains.append(None)
            continue
        gain, doubt = summary_of_gain(baseline, row)
        if doubt and not row.doubt:
            doubts.append(f"{row.name}: the difference is not paired. {doubt}")
        gains.append(gain)
    return gains, doubts


def _difference(
    row: Measurement,
    summary: Summary | None,
    gain: Summary | None,
    beside: PublishedRow | None,
    metric: str,
) -> Number | None:
    return metric_number(gain[MEAN], metric, len(row.records), row.studies()) if gain else None


def _number(
    row: Measurement,
    summary: Summary | None,
    gain: Summary | None,
    beside: PublishedRow | None,
    column: Column,
) -> Number | None:
    """A metric of a label or of the mean, with what the paper printed and what it is worth."""
    if summary is None:
        return None
    mean, metric = column.label == MEAN, column.metric
    part = summary[MEAN] if mean else summary["labels"].get(column.label)
    if part is None:
        return None
    support = f"{summary['cases']} studies" if mean else support_text(part)
    number = metric_number(part, metric, len(row.records), support)
    if number is None:
        return None
    more = gain and (gain[MEAN] if mean else gain["labels"].get(column.label))
    resampled = bool(summary.get("resamples"))
    number = with_evidence(number, metric, part, more, resampled=resampled)
    return beside.beside(number, metric, column.label) if beside else number


def _label_cell(column: Column, number: Number | None) -> Cell:
    """The number of a label, with the printed one below it."""
    if number is None or not number.mark:
        return column.cell(number)
    paper = f"paper {number.mark}"
    return column.cell(number, [paper if number.comparable else f"[{paper}]"])


def _reporting(summaries: Sequence[Summary]) -> list[str]:
    """Notes on the classes that the numbers are of, each once."""
    notes = [
        note
        for summary in summaries
        for note in (
            interval_note(summary),
            *reporting_notes(summary["labels"], summary["min_positives"]),
        )
    ]
    return list(filter(None, dict.fromkeys(notes)))


def _support(summaries: Sequence[Summary]) -> str:
    """Studies, groups and positive cases; all of them where the rows differ."""
    texts = []
    for summary in summaries:
        labels = ", ".join(
            f"{name} {reported_name(label)} {support_text(label)}"
            for name, label in summary["labels"].items()
        )
        texts.append(
            f"{summary['cases']} studies of {summary['groups']} patients or lesions; positive/labelled: "
            f"{labels}"
        )
    return "; in other rows ".join(dict.fromkeys(texts))
