"""Tables of results as HTML, with intervals, published numbers and the basis of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sm3kit.core.errors import UnknownName
from sm3kit.evaluation.caveats import caveats_of_studies
from sm3kit.evaluation.record_text import (
    left_out_text,
    mean_text,
    pairs_were_seen,
    reported_name,
    studies_text,
    support_text,
)
from sm3kit.published.tables import for_recipe
from sm3kit.report.material import Result
from sm3kit.results.cells import NONE
from sm3kit.results.html_table import Caption, Cell, Head, table
from sm3kit.results.lines import data_name, most
from sm3kit.results.printed import RANKS, Printed, source
from sm3kit.results.sections import WRONG, Basis

METRICS = {
    "auc": "AUC",
    "sens": "sensitivity",
    "spec": "specificity",
    "prec": "precision",
    "auprc": "AUPRC",
    "sens_at_90_spec": "sens. at 90 % spec.",
}
RANK_HEADS = {
    "mean_rank": Head("mean rank", "ascending"),
    "chance": Head("by chance", "ascending"),
    "median_rank": Head("median rank", "ascending"),
    "acc@1": Head("acc@1"),
    "acc@5": Head("acc@5"),
    "n": Head("pairs"),
}
OLD = "It was made with other networks than the run has now. Evaluate again."


def result_table(result: Result, model: str) -> str:
    """The table of one evaluation.

    Args:
        result: of labels or of pairs.
        model: hash of the model file of the run; empty if it is not known.
    """
    notes = [OLD] if model and result.record["of"]["model"] != model else []
    draw = _label_table if result.labelled else _rank_table
    return draw(result, notes)


def _label_table(result: Result, notes: list[str]) -> str:
    record = result.record
    beside = _printed(record, "auc")
    heads = [Head("label", "ascending"), Head("class", "ascending", "text"), Head(METRICS["auc"])]
    heads += [Head("published AUC")] * bool(beside)
    heads += [Head(name) for metric, name in METRICS.items() if metric != "auc"]
    heads.append(Head("positive of known"))
    rows = [
        [Cell(name, name), Cell(reported_name(row), reported_name(row), kind="text"), *_numbers(row, beside, name),
         _support(row)]
        for name, row in record["labels"].items()
    ]  # fmt: skip
    mean = record["mean"]
    empty = [Cell("")]
    foot = [
        [Cell("mean"), *empty, *_numbers(mean, beside, "mean"), Cell(mean_text(record))],
        [Cell("STD of labels"), *empty, *_deviations(mean, beside), *empty],
    ]
    basis = _basis(record, studies_text(record))
    caption = Caption(result.title, basis.sentence(), basis.doubtful)
    told = [
        f"In %; the 95 % intervals are of {record['resamples']:,} resamples of the groups "
        "(patients or lesions).",
        _learned(record),
        *([source([beside])] if beside else []),
    ]
    return table(
        caption, heads, rows, [*notes, *caveats_of_studies(record), *told, *record["notes"]], foot
    )


def _rank_table(result: Result, notes: list[str]) -> str:
    record = result.record
    heads = [Head("space", "ascending"), Head("search", "ascending", "text"), *RANK_HEADS.values()]
    parts = {"": record["space"]}
    if "without_duplicates" in record:
        parts[", no duplicates"] = record["without_duplicates"]["space"]
    rows = []
    for mark, spaces in parts.items():
        for space, directions in spaces.items():
            for direction, found in directions.items():
                search = direction.replace("->", " → ")
                start = [Cell(space + mark, space + mark), Cell(search, search, kind="text")]
                rows.append([*start, *(_rank(found, name) for name in RANK_HEADS)])
    counts = sorted({int(row["n"]) for row in record["space"]["backbone"].values()} or {0})
    support = f"{', '.join(map(str, counts))} pairs"
    told = ["Ranks from 1, lower is better; acc in %. Ties count half."]
    told += ["The pairs were seen in pre-training."] * pairs_were_seen(record)
    if "without_duplicates" in record:
        told.append(f"No duplicates: {left_out_text(record)}.")
    beside = _printed(record, "mean_rank")
    if beside:
        numbers = beside.text(RANKS) if beside.comparable else f"[{beside.text(RANKS)}]"
        told.append(f"Published mean rank / acc@1 / acc@5: {numbers}; {source([beside])}")
    basis = _basis(record, support)
    caption = Caption(result.title, basis.sentence(), basis.doubtful)
    return table(
        caption, heads, rows, [*notes, *caveats_of_studies(record), *told, *record["notes"]]
    )


def _numbers(row: Mapping[str, Any], beside: Printed | None, label: str) -> list[Cell]:
    cells = [_percent(row, metric) for metric in METRICS]
    if beside:
        cells.insert(1, _published(beside, label))
    return cells


def _percent(row: Mapping[str, Any], metric: str) -> Cell:
    value, ends = row[metric], row["intervals"][metric]
    if value is None:
        return Cell(NONE)
    below = () if None in ends else (f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}",)
    return Cell(f"{100 * value:.1f}", f"{value:.6f}", below)


def _published(beside: Printed, label: str) -> Cell:
    try:
        cell = beside.row.cell("auc", label)
    except UnknownName:
        return Cell(NONE)
    if cell.printed is None:
        return Cell(NONE)
    text = f"{cell.mark()}{WRONG * bool(cell.finding)}"
    if beside.comparable:
        return Cell(text, str(cell.printed))
    return Cell(f"[{text}]", str(cell.printed), kind="other")


def _deviations(mean: Mapping[str, Any], beside: Printed | None) -> list[Cell]:
    values = [mean["stds"][metric] for metric in METRICS]
    cells = [Cell(NONE if one is None else f"{100 * one:.1f}") for one in values]
    if beside:
        cells.insert(1, Cell(""))
    return cells


def _support(row: Mapping[str, Any]) -> Cell:
    positives = row["support"]["positives"]
    return Cell(support_text(row), "" if positives is None else str(positives))


def _rank(found: Mapping[str, Any], name: str) -> Cell:
    value = found[name]
    if name == "n":
        return Cell(str(value), str(value))
    shown = 100 * value if name.startswith("acc") else value
    return Cell(f"{shown:.1f}", f"{value:.6f}")


def _printed(record: Mapping[str, Any], metric: str) -> Printed | None:
    """The row of the paper that the recipe of the run makes, where it has one."""
    row = for_recipe(record["of"]["recipe"], metric)
    return Printed(row, "published" in record) if row else None


def _basis(record: Mapping[str, Any], support: str) -> Basis:
    data = ", ".join(data_name(spec) for spec in record["data"])
    seeds: Sequence[int] = record["seeds"]
    marks = bool(record["leaky"]), most([record], "seen"), most([record], "replaced")
    return Basis(data, record["split"], record["select"], tuple(seeds), support, *marks)


def _learned(record: Mapping[str, Any]) -> str:
    chosen = ", ".join(f"{name} {value}" for name, value in record["chosen"].items())
    count = record["trainable_parameters"]
    if not count:
        return f"{chosen}: votes of {record['trained_on']} labelled studies; nothing was trained."
    return (
        f"{chosen}; scope {record['scope']}: {count:,} weights saw the labels of "
        f"{record['trained_on']} studies."
    )
