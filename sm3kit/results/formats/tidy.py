"""A table as CSV: one line for each row, protocol, metric and label."""

from __future__ import annotations

import io
from collections.abc import Iterator

from sm3kit.results.section import Cell, Column, Line, Section
from sm3kit.results.table import Table
from sm3kit.tables.spreadsheets import write_rows

HEADS = (
    "row",
    "protocol",
    "space",
    "metric",
    "label",
    "unit",
    "mean",
    "spread",
    "low",
    "high",
    "n_seeds",
    "seeds_wanted",
    "best",
    "published",
    "published_mark",
    "published_comparable",
    "baseline",
    "selection",
    "split",
    "support",
    "leaky",
    "seen",
    "replaced",
    "data",
    "reason",
)
DECIMALS = 6


def tidy(table: Table) -> str:
    """The CSV; a row without a number has one line for its protocol, with the reason."""
    out = io.StringIO()
    rows = [[row.get(head, "") for head in HEADS] for row in _rows(table)]
    write_rows(out, [HEADS, *rows], "\n")
    return out.getvalue()


def _rows(table: Table) -> Iterator[dict[str, str]]:
    for section in table.sections:
        reasons = set()
        for line in section.lines:
            shared = _line_facts(section, line, table.baseline)
            if line.reason and section.part not in ("labels", "loss") and line.name not in reasons:
                reasons.add(line.name)
                yield shared | {"reason": line.reason}
            for column, cell in zip(section.columns, line.cells, strict=True):
                # Beside a loss stands the AUC, which the means have already.
                repeated = section.part == "loss" and column.metric != "loss"
                if cell.number is not None and not repeated:
                    yield shared | _number_facts(column, cell, line.block)


def _line_facts(section: Section, line: Line, baseline: str) -> dict[str, str]:
    basis = section.basis
    assert basis is not None, "a grid has one"
    return {
        "row": line.name,
        "protocol": section.protocol,
        "space": "" if section.part in ("means", "labels", "loss") else section.part,
        "n_seeds": str(line.done),
        "seeds_wanted": str(line.wanted),
        "baseline": baseline,
        "selection": basis.select,
        "split": basis.split,
        "support": basis.support,
        "leaky": _yes(line.leaky),
        "seen": str(line.seen),
        "replaced": str(line.replaced),
        "data": basis.data,
    }


def _number_facts(column: Column, cell: Cell, block: str) -> dict[str, str]:
    number = cell.number
    assert number is not None, "a cell of words has no line of its own"
    published = number.published is not None
    return {
        "metric": column.metric,
        "label": column.label or block,
        "unit": column.unit,
        "mean": _plain(number.mean),
        "spread": _plain(number.spread),
        "low": _plain(number.low),
        "high": _plain(number.high),
        "n_seeds": str(number.seeds),
        "best": _yes(cell.best),
        "published": _plain(number.published),
        "published_mark": number.mark,
        "published_comparable": _yes(number.comparable) if published else "",
        **({"support": number.support} if number.support else {}),
    }


def _plain(value: float | None) -> str:
    return "" if value is None else f"{round(value, DECIMALS) + 0.0:.{DECIMALS}f}"


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
