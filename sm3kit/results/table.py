"""From what a grid has measured to its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sm3kit.evaluation.record_text import reported_name, reporting_notes, support_text
from sm3kit.results.cells import Column, Number
from sm3kit.results.lines import basis_of, line_of, notes_of, with_best
from sm3kit.results.printed import Printed, printed
from sm3kit.results.ranks import rank_sections
from sm3kit.results.results import GridResults
from sm3kit.results.sections import Section, Table
from sm3kit.results.seeds import Measured, difference, measured, metric_number

MEAN = "mean"
MEANS = {"sens": "sens", "spec": "spec", "prec": "prec"}
HOW = (
    "in %: mean ± deviation over the seeds (n - 1); 95 % interval of the mean over the seeds, from "
    "{resamples:,} resamples of the groups"
)
PAIRED = "; difference of mean AUC to {baseline} in points, paired by cases"

Summary = dict[str, Any]


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
        if protocol == "match":
            sections += rank_sections(results)
        else:
            sections += _label_sections(results, protocol, resamples)
    return Table(results.title, tuple(sections), dict(results.axes), results.baseline)


def _label_sections(results: GridResults, protocol: str, resamples: int) -> list[Section]:
    found = [measured(row, protocol, resamples) for row in results.rows]
    summaries = [one.summary() if one.records else None for one in found]
    besides = [printed(results, row, protocol) for row in results.rows]
    means, doubts = _means(results, found, summaries, besides)
    names = dict.fromkeys(label for one in summaries if one for label in one["labels"])
    per_label = [
        [_number(summary, one, "auc", label, beside) for label in names]
        for summary, one, beside in zip(summaries, found, besides, strict=True)
    ]
    mean_columns = [Column("auc", MEAN, "AUC")]
    if results.baseline:
        head = f"difference to {results.baseline}"
        mean_columns.append(Column("difference", MEAN, head, "points", ""))
    mean_columns += [Column(metric, MEAN, head) for metric, head in MEANS.items()]
    label_columns = [Column("auc", label, label) for label in names]
    how = HOW.format(resamples=resamples)
    paired = PAIRED.format(baseline=results.baseline) if results.baseline else ""
    notes = (*notes_of(results, found, besides, how + paired), *doubts, *_reporting(summaries))
    sections = []
    for part, title, columns, numbers in (
        ("means", f"{protocol}, mean of the labels", mean_columns, means),
        ("labels", f"{protocol}, AUC of each label", label_columns, per_label),
    ):
        if not columns:
            continue  # Nothing is measured yet, and the means say why.
        lines = [
            line_of(results, row, one, values, beside)
            for row, one, values, beside in zip(results.rows, found, numbers, besides, strict=True)
        ]
        head = "published AUC" if any(besides) and part == "means" else ""
        told = notes if part == "means" else (how,)
        basis = basis_of(results, found, _support(summaries))
        marked = with_best(columns, lines)
        sections.append(Section(protocol, part, title, tuple(columns), marked, head, basis, told))
    return sections


def _means(
    results: GridResults,
    found: Sequence[Measured],
    summaries: Sequence[Summary | None],
    besides: Sequence[Printed | None],
) -> tuple[list[list[Number | None]], list[str]]:
    """The numbers of the section of means, and what is to be said of the differences."""
    baseline = next((one for one in found if one.name == results.baseline), None)
    numbers, doubts = [], []
    for one, summary, beside in zip(found, summaries, besides, strict=True):
        values = [_number(summary, one, "auc", MEAN, beside)]
        if results.baseline:
            more, doubt = None, ""
            if baseline and one is not baseline:
                more, doubt = difference(baseline, one)
            if doubt and not one.doubt:
                doubts.append(f"{one.name}: the difference is not paired. {doubt}")
            values.append(more)
        values += [_number(summary, one, metric, MEAN, beside) for metric in MEANS]
        numbers.append(values)
    return numbers, doubts


def _number(
    summary: Summary | None, one: Measured, metric: str, label: str, beside: Printed | None
) -> Number | None:
    if summary is None:
        return None
    found = summary[MEAN] if label == MEAN else summary["labels"].get(label)
    if found is None:
        return None
    support = f"{summary['cases']} studies" if label == MEAN else support_text(found)
    number = metric_number(found, metric, len(one.records), support)
    return beside.beside(number, metric, label) if beside and number else number


def _reporting(summaries: Sequence[Summary | None]) -> list[str]:
    """What is to be said of the classes that the numbers are of, once."""
    told = [
        note
        for one in summaries
        if one
        for note in reporting_notes(one["labels"], one["min_positives"])
    ]
    return list(dict.fromkeys(told))


def _support(summaries: Sequence[Summary | None]) -> str:
    """Studies, groups and positive cases; all of them where the rows differ."""
    told = []
    for summary in summaries:
        if summary:
            labels = ", ".join(
                f"{name} {reported_name(label)} {support_text(label)}"
                for name, label in summary["labels"].items()
            )
            told.append(
                f"{summary['cases']} studies of {summary['groups']} groups; positive of known: "
                f"{labels}"
            )
    return "; in other rows ".join(dict.fromkeys(told))
