"""The pseudo-labels of the rows of a grid against the true labels, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

from sm3kit.evaluation.record_text import studies_text
from sm3kit.results.clustering.of_run import DIAGNOSIS, HOW, METRICS
from sm3kit.results.grid_rows import GridRows
from sm3kit.results.measurement import PERCENT, Measurement, metric_number
from sm3kit.results.numbers import Number
from sm3kit.results.section import Column, Section

MEAN = "mean"
UNDEFINED = "fewer than two classes of each label are known"
SEEDS = "Mean over seeds."


def cluster_sections(rows: GridRows) -> list[Section]:
    """The means over the labels, and the NMI of each label as soon as something is measured."""
    rows = replace(rows, besides=(None,) * len(rows.besides))  # The paper has none of it.
    support = studies_text(rows.records[0]) if rows.records else ""
    basis = rows.basis(support)
    means = [replace(column, label=MEAN, group="mean over labels, %") for column in METRICS]
    sections = [
        _section(
            rows,
            means,
            [*rows.notes(f"{HOW} {SEEDS}"), DIAGNOSIS],
            title=f"{rows.protocol}, mean of the labels",
            basis=basis,
            part="means",
        )
    ]
    names = dict.fromkeys(name for record in rows.records for name in record["clusters"]["labels"])
    if names:
        columns = [
            Column(name, "percent", "nmi", name, group="NMI, %", interval="column")
            for name in names
        ]
        columns[0] = replace(columns[0], narrow="NMI")  # It stands for all on a terminal.
        sections.append(
            _section(
                rows,
                columns,
                [f"{HOW} {SEEDS}", DIAGNOSIS],
                title=f"{rows.protocol}, NMI of each label",
                basis=basis,
                part="labels",
            )
        )
    return sections


def _section(
    rows: GridRows, columns: Sequence[Column], notes: Sequence[str], **about: Any
) -> Section:
    """A section of some columns; nothing in it is compared with the baseline."""
    cells = [[column.cell(_number(row, column)) for column in columns] for row in rows.measurements]
    section = rows.section(columns, {"": cells}, "", UNDEFINED, notes, **about)
    return replace(section, baseline="")


def _number(row: Measurement, column: Column) -> Number | None:
    """The mean over the seeds of a row; of a single seed with its interval."""
    summaries: list[Mapping[str, Any]] = []
    for record in row.records:
        table = record["clusters"]
        own = table[MEAN] if column.label == MEAN else table["labels"].get(column.label)
        if own is None or own[column.metric] is None:
            return None
        summaries.append(own)
    if not summaries:
        return None
    support = row.studies()
    if len(summaries) == 1:
        return metric_number(summaries[0], column.metric, 1, support)
    values = [PERCENT * own[column.metric] for own in summaries]
    return Number(fmean(values), stdev(values), seeds=len(values), support=support)
