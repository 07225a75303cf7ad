"""From the record of an evaluation to its table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sm3kit.evaluation.missing.dropped import dropped_text
from sm3kit.evaluation.record_text import (
    Record,
    caveats_of_studies,
    classifier_name,
    interval_note,
    left_out_text,
    mean_text,
    pairs_were_seen,
    reported_name,
    studies_text,
    support_text,
    supported_name,
)
from sm3kit.published.rows import MEAN, PaperRow
from sm3kit.published.tables import for_recipe, source
from sm3kit.results.beside import PublishedRow, marks_in_percent, published_cell
from sm3kit.results.clustering.of_run import cluster_section
from sm3kit.results.measurement import PERCENT, metric_number
from sm3kit.results.numbers import RANKS, Basis, Number, data_name, most
from sm3kit.results.section import NONE, WRONG, Cell, Column, Line, Section, direction_text
from sm3kit.results.table import Table

METRICS = (
    Column("AUC", "percent", "auc", narrow="AUC", interval="column"),
    Column("sensitivity", "percent", "sens", narrow="sens"),
    Column("specificity", "percent", "spec", narrow="spec"),
    Column("precision", "percent", "prec", narrow="prec"),
    Column("AUPRC", "percent", "auprc", narrow="AUPRC"),
    Column("sens. at 90 % spec.", "percent", "sens_at_90_spec", narrow="s@90"),
)
RANK_COLUMNS = (
    Column("mean rank", "rank", "mean_rank", better="lower", narrow="mean rank"),
    Column("chance", "rank", "chance", narrow="chance"),
    Column("median rank", "rank", "median_rank", better="lower", narrow="median"),
    Column("acc@1", "percent", "acc@1", narrow="acc@1"),
    Column("acc@5", "percent", "acc@5", narrow="acc@5"),
)
AUPRC = "AUPRC: area under the precision-recall curve."
STD = "STD of labels: standard deviation over the labels, not over seeds."
RANKS_TEXT = (
    "Mean rank of the true partner, 1 is best, ties count half; chance: the mean rank of random "
    "guesses; acc@k: partners among the first k, in %."
)


def evaluation_table(record: Record) -> Table:
    """One evaluation as a table with a single section, for any format.

    Args:
        record: as `evaluate` gives and writes it.
    """
    section = evaluation_section(record)
    return Table(f"{record['protocol']}, split {record['split']}", (section,))


def evaluation_section(record: Record, title: str = "") -> Section:
    """The table of one evaluation, of labels, of pairs or of clusters.

    Args:
        record: as `evaluate` gives and writes it.
        title: the protocol if it is empty.
    """
    title = title or ", ".join(filter(None, [record["protocol"], dropped_text(record)]))
    if "clusters" in record:
        basis = _basis(record, studies_text(record))
        return cluster_section(record, title, basis, intervals_text(record["resamples"]))
    section = _label_section if "labels" in record else _rank_section
    return section(record, title)


def _label_section(record: Record, title: str) -> Section:
    beside = _published_row(record, "auc")
    published = [Column("published AUC")] if beside else []
    columns = (
        Column("label", "text", narrow="label"),
        Column("class", "text"),
        METRICS[0],
        *published,
        *METRICS[1:],
        Column("positive/labelled", narrow="n+"),
    )
    lines = []
    for name, row in record["labels"].items():
        reported = reported_name(row)
        label = Cell(name, name, short=f"{name} {reported}")
        positives = row["support"]["positives"]
        support = Cell(support_text(row), "" if positives is None else str(positives))
        lines.append(Line((label, Cell(reported, reported), *_numbers(row, beside, name), support)))
    notes = [
        f"In %. {AUPRC} {STD} {intervals_text(record['resamples'])}".rstrip(),
        _learning(record),
    ]
    if beside:
        notes += [source([beside.row]), *_errors(beside.row, record["labels"])]
    return Section(
        title,
        columns,
        tuple(lines),
        _basis(record, studies_text(record)),
        (
            *filter(None, (interval_note(record), *caveats_of_studies(record))),
            *notes,
            *record["notes"],
        ),
        _foot(record, beside),
        record["protocol"],
    )


def _foot(record: Record, beside: PublishedRow | None) -> tuple[Line, ...]:
    """The mean, that over the labels with an interval where one has none, and the deviation."""
    mean, part = record["mean"], record["mean"].get("supported")
    rows = {"mean": (mean, mean_text(record))}
    if part:
        rows[supported_name(part)] = part, f"{len(part['labels'])} labels"
    lines = [
        Line((Cell(name), Cell(""), *_numbers(row, beside, name), Cell(count)))
        for name, (row, count) in rows.items()
    ]
    deviations = [mean["stds"][column.metric] for column in METRICS]
    cells = [Cell(NONE if std is None else f"{PERCENT * std:.1f}") for std in deviations]
    if beside:
        cells.insert(1, Cell(""))
    return (*lines, Line((Cell("STD of labels"), Cell(""), *cells, Cell(""))))


def _rank_section(record: Record, title: str) -> Section:
    names = Column("space", "text", narrow="space"), Column("direction", "text", narrow="direction")
    columns = (*names, *RANK_COLUMNS, Column("pairs", narrow="pairs"))
    parts = {"": record["space"]}
    if "without_duplicates" in record:
        parts["no duplicates"] = record["without_duplicates"]["space"]
    lines = [
        _rank_line(space, mark, direction, ranks)
        for mark, spaces in parts.items()
        for space, directions in spaces.items()
        for direction, ranks in directions.items()
    ]
    counts = [int(ranks["n"]) for ways in record["space"].values() for ranks in ways.values()]
    notes = [RANKS_TEXT]
    notes += ["The pairs were seen in pre-training."] * pairs_were_seen(record)
    if "without_duplicates" in record:
        notes.append(f"No duplicates: {left_out_text(record)}.")
    beside = _published_row(record, "mean_rank")
    if beside:
        numbers = marks_in_percent(beside.row, RANKS)
        other = "" if beside.comparable else " (other data or split: not comparable)"
        notes.append(f"Published mean rank / acc@1 / acc@5: {numbers}{other}.")
        notes.append(source([beside.row]))
    return Section(
        title,
        columns,
        tuple(lines),
        _basis(record, f"{pairs_text(counts)} pairs"),
        (*caveats_of_studies(record), *notes, *record["notes"]),
        protocol=record["protocol"],
    )


def _rank_line(space: str, mark: str, direction: str, ranks: Mapping[str, Any]) -> Line:
    name = ", ".join(filter(None, (space, mark)))
    search = direction_text(direction)
    scales = (PERCENT if column.unit == "percent" else 1 for column in RANK_COLUMNS)
    numbers = [
        column.cell(Number(scale * ranks[column.metric]))
        for column, scale in zip(RANK_COLUMNS, scales, strict=True)
    ]
    return Line(
        (
            Cell(name, name, short=f"{space} {mark}".strip()),
            Cell(search, search, short=direction.replace("->", "→")),
            *numbers,
            Cell(str(ranks["n"]), str(ranks["n"])),
        )
    )


def _numbers(row: Mapping[str, Any], beside: PublishedRow | None, label: str) -> Iterable[Cell]:
    """The cells of all metrics of a label or of the mean, with the published AUC behind ours."""
    cells = [column.cell(metric_number(row, column.metric, 1, "")) for column in METRICS]
    if beside:
        cells.insert(1, published_cell(beside, ("auc",), label))
    return cells


def _published_row(record: Record, metric: str) -> PublishedRow | None:
    """The row of the paper that the recipe of the run makes, where it has one."""
    row = for_recipe(record["of"]["recipe"], metric)
    return PublishedRow(row, "published" in record) if row else None


def _basis(record: Record, support: str) -> Basis:
    return Basis(
        ", ".join(data_name(spec) for spec in record["data"]),
        record["split"],
        record["select"],
        tuple(record["seeds"]),
        support,
        bool(record["leaky"]),
        most([record], "seen"),
        most([record], "replaced"),
    )


def intervals_text(resamples: int) -> str:
    """How the intervals were made, in a sentence; empty without resamples."""
    if not resamples:
        return ""
    return (
        f"95 % intervals: bootstrap over patients or lesions ({resamples:,} resamples), seed "
        "variance not included."
    )


def pairs_text(counts: Iterable[int]) -> str:
    """How many pairs there are: "27", or "95 to 108" where directions differ."""
    known = sorted(counts) or [0]
    return " to ".join(map(str, dict.fromkeys((known[0], known[-1]))))


def _errors(row: PaperRow, labels: Iterable[str]) -> list[str]:
    """What is wrong in the printed AUCs of some labels and their mean."""
    cells = row.cells["auc"]
    wrong = {name: cells[name] for name in (*labels, MEAN) if name in cells}
    return [
        f"{WRONG} wrong in the paper, {name}: {cell.mark()}. {cell.finding}"
        for name, cell in wrong.items()
        if cell.finding
    ]


def _learning(record: Record) -> str:
    """What learned from labels, and what was chosen."""
    chosen = ", ".join(f"{name} {value}" for name, value in record["chosen"].items())
    count = record["trainable_parameters"]
    if not count:
        return f"{chosen}: votes of {record['trained_on']} labelled studies; nothing was trained."
    return (
        f"{chosen}; classifier {classifier_name(record)}, scope {record['scope']}: {count:,} weights "
        f"trained on labels of {record['trained_on']} studies."
    )
