"""The pseudo-labels of a run against the true labels, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sm3kit.evaluation.record_text import Record, caveats_of_studies, studies_text
from sm3kit.results.measurement import PERCENT, metric_number
from sm3kit.results.numbers import Basis
from sm3kit.results.section import NONE, Cell, Column, Line, Section

METRICS = (
    Column("NMI", "percent", "nmi", narrow="NMI", interval="column"),
    Column("ARI", "percent", "ari", narrow="ARI"),
    Column("accuracy", "percent", "accuracy", narrow="accuracy"),
)
HOW = (
    "In %. NMI: normalised mutual information of clusters and classes; ARI: adjusted Rand index, 0 as by chance; "
    "accuracy: clusters and classes matched one to one so that it is highest; largest class: the "
    "accuracy of a single cluster."
)
DIAGNOSIS = (
    "For diagnosis only: the matching sees the true classes of these very studies, and nothing is "
    "chosen by these numbers. NMI is not adjusted for chance: few studies raise it, and resamples, "
    "which repeat studies, raise it more, so that its interval may lie above it; ARI is."
)


def cluster_section(record: Record, title: str, basis: Basis, intervals: str) -> Section:
    """The table of an evaluation with the protocol "clusters".

    Args:
        record: as `evaluate` gives and writes it.
        title: of the table.
        basis: what it rests on.
        intervals: how the intervals were made, in a sentence, or empty.
    """
    columns = (
        Column("label", "text", narrow="label"),
        *METRICS,
        Column("largest class", "percent", narrow="largest"),
        Column("clusters", narrow="k"),
        Column("labelled", narrow="labelled"),
    )
    lines = []
    for name, row in record["clusters"]["labels"].items():
        share, known = row["largest_class"], str(row["known"])
        largest = Cell(NONE if share is None else f"{PERCENT * share:.1f}")
        count = str(next(len(counts) for counts in row["counts"].values()))
        cells = _numbers(row, f"{known} studies")
        lines.append(
            Line((Cell(name, name), *cells, largest, Cell(count, count), Cell(known, known)))
        )
    mean = record["clusters"]["mean"]
    over = f"{mean['labels']} labels"
    foot = Line(
        (Cell("mean"), *_numbers(mean, studies_text(record)), Cell(""), Cell(""), Cell(over))
    )
    return Section(
        title,
        columns,
        tuple(lines),
        basis,
        (
            *caveats_of_studies(record),
            f"{HOW} {intervals}".rstrip(),
            DIAGNOSIS,
            *without_interval(record),
            *record["notes"],
        ),
        (foot,),
        record["protocol"],
    )


def without_interval(record: Record) -> list[str]:
    """A sentence on each reason why labels have no interval; none where none was asked for."""
    if not record["resamples"]:
        return []
    names: dict[str, list[str]] = {}
    rows = {**record["clusters"]["labels"], "the mean": record["clusters"]["mean"]}
    for name, row in rows.items():
        if row["interval_reason"]:
            names.setdefault(row["interval_reason"], []).append(name)
    return [f"No interval for {', '.join(labels)}: {reason}." for reason, labels in names.items()]


def _numbers(row: Mapping[str, Any], support: str) -> Iterable[Cell]:
    return [column.cell(metric_number(row, column.metric, 1, support)) for column in METRICS]
