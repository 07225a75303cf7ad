"""From what a grid has measured to its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sm3kit.evaluation.record_text import (
    Record,
    interval_note,
    pairs_were_seen,
    reported_name,
    reporting_notes,
    support_text,
)
from sm3kit.results.grid_rows import GridRows, PublishedRow
from sm3kit.results.measurement import (
    RANKS,
    GridResults,
    Measurement,
    difference,
    metric_number,
    rank_number,
)
from sm3kit.results.numbers import Basis, Number
from sm3kit.results.section import Cell, Column, Section
from sm3kit.results.table import Table

MEAN = "mean"
# The terminal has no room for these.
MORE_MEANS = ("sens", "spec", "prec")
HOW = (
    "in %: mean ± deviation over the seeds (n - 1); 95 % interval of the mean over the seeds, from "
    "{resamples:,} resamples of the groups"
)
PAIRED = "; difference of mean AUC to {baseline} in points, paired by cases"
PUBLISHED_SPACE = "backbone"
HOW_RANKS = (
    "mean ± deviation over the seeds (n - 1); ranks from 1, lower is better; acc in %; the "
    "paper tells neither space nor direction"
)

Summary = Mapping[str, Any]


def tabulate(results: GridResults, resamples: int = 2000) -> Table:
    """The table of a grid; equal results give an equal table, wherever and whenever.

    Args:
        results: what is measured so far; rows without a result say why.
        resamples: draws of the bootstrap behind the intervals; 0 leaves these out and is quick.

    Returns:
        For each protocol with labels a section of means and one of the AUC of each label; for
        "match" a section for each space.
    """
    if results.baseline not in [row.name for row in results.rows]:
        # The points of a product have names of their own.
        results = replace(results, baseline="")
    sections: list[Section] = []
    for protocol in results.protocols:
        rows = GridRows.of(results, protocol, resamples)
        if protocol == "match":
            sections += _rank_sections(rows)
        else:
            sections += _label_sections(rows, HOW.format(resamples=resamples))
    return Table(results.title, tuple(sections), dict(results.axes), results.baseline)


def _label_sections(rows: GridRows, how: str) -> list[Section]:
    """The means, and the AUC of each label as soon as something is measured."""
    summaries = [row.summary() if row.records else None for row in rows.measurements]
    known = [summary for summary in summaries if summary]
    basis = rows.basis(_support(known))
    sections = [_means(rows, summaries, basis, how)]
    names = list(dict.fromkeys(name for summary in known for name in summary["labels"]))
    if names:
        # The first label stands for all on a terminal.
        columns = [Column(names[0], "percent", "auc", names[0], "higher", "AUC", "column")]
        columns += [Column(name, "percent", "auc", name, "higher") for name in names[1:]]
        cells = [
            [_label_cell(column, _number(*row, column)) for column in columns]
            for row in zip(summaries, rows.measurements, rows.besides, strict=True)
        ]
        title = f"{rows.protocol}, AUC of each label"
        about = {"title": title, "basis": basis, "notes": (how,), "part": "labels"}
        sections.append(rows.section(columns, cells, "", **about))
    return sections


def _means(rows: GridRows, summaries: Sequence[Summary | None], basis: Basis, how: str) -> Section:
    baseline = rows.results.baseline
    columns = [Column("AUC", "percent", "auc", MEAN, "higher", "AUC", "column")]
    if baseline:
        head = f"difference to {baseline}"
        columns.append(Column(head, "points", "difference", MEAN, "", "difference", "inside"))
    columns += [Column(name, "percent", name, MEAN, "higher") for name in MORE_MEANS]
    differences, doubts = _differences(rows)
    cells = [
        [
            column.cell(more if column.unit == "points" else _number(summary, row, beside, column))
            for column in columns
        ]
        for summary, row, beside, more in zip(
            summaries, rows.measurements, rows.besides, differences, strict=True
        )
    ]
    paired = PAIRED.format(baseline=baseline) if baseline else ""
    return rows.section(
        columns,
        cells,
        "published AUC" if any(rows.besides) else "",
        title=f"{rows.protocol}, mean of the labels",
        basis=basis,
        notes=(*rows.notes(how + paired), *doubts, *_reporting(summaries)),
        part="means",
    )


def _differences(rows: GridRows) -> tuple[list[Number | None], list[str]]:
    """What each row has more than the baseline, and what is to be said of it."""
    baseline = next((row for row in rows.measurements if row.name == rows.results.baseline), None)
    numbers: list[Number | None] = []
    doubts = []
    for row in rows.measurements:
        more, doubt = difference(baseline, row) if baseline and row is not baseline else (None, "")
        if doubt and not row.doubt:
            doubts.append(f"{row.name}: the difference is not paired. {doubt}")
        numbers.append(more)
    return numbers, doubts


def _number(
    summary: Summary | None, row: Measurement, beside: PublishedRow | None, column: Column
) -> Number | None:
    if summary is None:
        return None
    mean = column.label == MEAN
    part = summary[MEAN] if mean else summary["labels"].get(column.label)
    if part is None:
        return None
    support = f"{summary['cases']} studies" if mean else support_text(part)
    number = metric_number(part, column.metric, len(row.records), support)
    return beside.beside(number, column.metric, column.label) if beside and number else number


def _label_cell(column: Column, number: Number | None) -> Cell:
    """The number of a label, with the printed one below it."""
    if number is None or not number.mark:
        return column.cell(number)
    paper = f"paper {number.mark}"
    return column.cell(number, [paper if number.comparable else f"[{paper}]"])


def _reporting(summaries: Sequence[Summary | None]) -> list[str]:
    """Notes on the classes that the numbers are of, each once."""
    notes = [
        note
        for summary in summaries
        if summary
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
            f"{summary['cases']} studies of {summary['groups']} groups; positive of known: {labels}"
        )
    return "; in other rows ".join(dict.fromkeys(texts))


def _rank_sections(rows: GridRows) -> list[Section]:
    """One section for each space of features; one that tells the reasons if there is none."""
    spaces = [space for record in rows.records for space in _spaces(record)] or [PUBLISHED_SPACE]
    return [_rank_section(rows, space) for space in dict.fromkeys(spaces)]


def _rank_section(rows: GridRows, space: str) -> Section:
    if space != PUBLISHED_SPACE:
        rows = replace(rows, besides=(None,) * len(rows.besides))
    ranks = [_spaces(record).get(space, {}) for record in rows.records]
    directions = list(dict.fromkeys(name for spaces in ranks for name in spaces)) or [""]
    columns = []
    for direction in directions:
        for metric in RANKS:
            name = metric.replace("_", " ")
            head = f"{name} {direction.replace('->', '→')}".strip()
            units = ("rank", "lower") if metric == "mean_rank" else ("percent", "higher")
            narrow = name if direction == directions[0] else ""
            columns.append(Column(head, units[0], metric, direction, units[1], narrow))
    cells = [
        [column.cell(_rank_number(row, space, beside, column)) for column in columns]
        for row, beside in zip(rows.measurements, rows.besides, strict=True)
    ]
    support = sorted(
        {(summary["n"], summary["chance"]) for spaces in ranks for summary in spaces.values()}
    )
    seen = any(pairs_were_seen(record) for record in rows.records)
    return rows.section(
        columns,
        cells,
        "published rank / acc@1 / acc@5" if any(rows.besides) else "",
        title=f"match, {space}",
        basis=rows.basis("; ".join(f"{n} pairs, mean rank by chance {c:g}" for n, c in support)),
        notes=rows.notes(HOW_RANKS + "; the pairs were seen in pre-training" * seen),
        part=space,
    )


def _rank_number(
    row: Measurement, space: str, beside: PublishedRow | None, column: Column
) -> Number | None:
    by_direction = [_spaces(record).get(space, {}) for record in row.records]
    summaries = [ranks[column.label] for ranks in by_direction if column.label in ranks]
    number = rank_number(summaries, column.metric) if summaries else None
    return beside.beside(number, column.metric) if beside and number else number


def _spaces(record: Record) -> dict[str, dict[str, Any]]:
    """{space: {direction: ranks}} of a record; those without shared images by their own name."""
    rest = record.get("without_duplicates", {"space": {}})["space"]
    return {
        **record["space"],
        **{f"{name} without duplicates": ranks for name, ranks in rest.items()},
    }
