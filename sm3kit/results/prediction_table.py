"""From predictions to their table: one study in full, or many in brief."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sm3kit.results.measurement import PERCENT
from sm3kit.results.numbers import Number
from sm3kit.results.section import Cell, Column, Line, Section
from sm3kit.results.table import Table

PROBABILITY = Column("probability", "percent", "probability", narrow="%")


def prediction_table(record: Mapping[str, Any]) -> Table:
    """The table of predictions.

    Args:
        record: as `predict` gives it. Of one study there is a line for each label, of many a line
            for each study.
    """
    studies = record["studies"]
    section = _one_study(studies[0]) if len(studies) == 1 else _many(record)
    notes = (*section.notes, *record["notes"], record["statement"])
    return Table(
        "Predictions", (Section(section.title, section.columns, section.lines, None, notes),)
    )


def _one_study(study: Mapping[str, Any]) -> Section:
    columns = (
        Column("label", "text", narrow="label"),
        Column("class", "text", narrow="class"),
        PROBABILITY,
        Column("all classes, in %", "text", narrow="all classes, in %"),
    )
    lines = []
    for label, row in study["probabilities"].items():
        decided = study["decisions"][label]
        every = ", ".join(f"{name} {PERCENT * share:.1f}" for name, share in row.items())
        number = PROBABILITY.cell(Number(PERCENT * row[decided]))
        lines.append(Line((_text(label), _text(decided), number, _text(every))))
    missing = ", ".join(study["missing"])
    notes: tuple[str, ...] = (f"Predicted without {missing}.",) if missing else ()
    notes += (f"By thresholds: {called_text(study)}.",) if "called" in study else ()
    return Section(study["id"], columns, tuple(lines), notes=notes)


def called_text(study: Mapping[str, Any]) -> str:
    """The classes of each label that reach their thresholds: "DIAG MEL; PN none"."""
    called = study["called"].items()
    return "; ".join(f"{label} {', '.join(names) or 'none'}" for label, names in called)


def _many(record: Mapping[str, Any]) -> Section:
    columns = [Column("id", "text", narrow="id")]
    for label in record["labels"]:
        columns += [Column(label, "text", narrow=label)]
        columns += [Column(f"{label}, %", "percent", "probability", label, narrow="%")]
    columns.append(Column("missing", "text", narrow="missing"))
    lines = []
    for study in record["studies"]:
        cells = [_text(study["id"])]
        for label, row in study["probabilities"].items():
            decided = study["decisions"][label]
            cells += [_text(decided), PROBABILITY.cell(Number(PERCENT * row[decided]))]
        lines.append(Line((*cells, _text(", ".join(study["missing"])))))
    unreadable = tuple(
        f"{row['id']} could not be read: {row['error']}" for row in record["unreadable"]
    )
    title = f"{len(lines)} studies"
    return Section(title, tuple(columns), tuple(lines), notes=unreadable)


def _text(text: str) -> Cell:
    return Cell(text, text)
