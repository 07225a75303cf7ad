"""What the lines of every section have in common: state, best marks, notes and basis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sm3kit.results.cells import Column, Number
from sm3kit.results.printed import Printed, metrics_of, source
from sm3kit.results.results import GridResults, RowResults
from sm3kit.results.sections import WRONG, Basis, Line
from sm3kit.results.seeds import Measured

LONGEST_REASON = 200


def line_of(
    results: GridResults,
    row: RowResults,
    found: Measured,
    numbers: Sequence[Number | None],
    beside: Printed | None,
) -> Line:
    """A row as a line of a section: its numbers, or the reason why there are none."""
    metrics = metrics_of(found.protocol)
    return Line(
        row.name,
        len(found.records),
        len(results.seeds),
        tuple(numbers),
        beside.short(metrics[:1]) if beside else "",
        beside.text(metrics) if beside else "",
        bool(beside and beside.error(metrics)),
        bool(beside and beside.comparable),
        "" if any(numbers) else _reason(results, row, found),
        any(record["leaky"] for record in found.records),
        most(found.records, "seen"),
        most(found.records, "replaced"),
        row.axes,
    )


def with_best(columns: Sequence[Column], lines: Iterable[Line]) -> tuple[Line, ...]:
    """The lines with the best number of each column marked, and all that look the same.

    Numbers are compared as they are printed. A column with less than two numbers has no best.
    """
    rows = [list(line.numbers) for line in lines]
    for place, column in enumerate(columns):
        ranks = [column.rank_of(row[place]) for row in rows if row[place]]  # type: ignore[arg-type]
        for row in rows:
            number = row[place]
            if number and column.better and len(ranks) > 1:
                row[place] = replace(number, best=column.rank_of(number) == max(ranks))
    pairs = zip(lines, rows, strict=True)
    return tuple(replace(line, numbers=tuple(row)) for line, row in pairs)


def basis_of(results: GridResults, found: Iterable[Measured], support: str) -> Basis:
    """What a section rests on; `support` in words, empty if nothing is measured yet.

    The rule of selection is that of the records: matching, for example, has nothing to select.
    """
    records = [record for one in found for record in one.records]
    rules = sorted({record["select"] for record in records}) or [results.select]
    return Basis(
        ", ".join(data_name(spec) for spec in results.data),
        results.split,
        ", ".join(rules),
        results.seeds,
        support or "support not known before the first result",
        "test_best" in rules or any(record["leaky"] for record in records),
        most(records, "seen"),
        most(records, "replaced"),
    )


def most(records: Iterable[Mapping[str, Any]], name: str) -> int:
    """The number of studies in the longest of the lists that records have under a name."""
    return max((len(record.get(name) or ()) for record in records), default=0)


def data_name(spec: str) -> str:
    """A data set without the folder of this machine: `derm7pt`, `synthetic:120`."""
    name, _, argument = spec.partition(":")
    return spec if argument.isdecimal() else name


def notes_of(
    results: GridResults, found: Sequence[Measured], besides: Sequence[Printed | None], how: str
) -> tuple[str, ...]:
    """What belongs below a section: how it was counted, what is missing, what the paper says.

    Args:
        found: all rows, in order.
        besides: the published rows, in the same order.
        how: a sentence on the numbers.
    """
    notes = [how]
    for row, one in zip(results.rows, found, strict=True):
        reasons: dict[str, list[str]] = {}
        for seed, reason in sorted(row.failed.items()):
            if seed not in one.seeds:
                reasons.setdefault(_short(results, reason), []).append(str(seed))
        for reason, seeds in reasons.items():
            word = "seed" if len(seeds) == 1 else "seeds"
            notes.append(f"{row.name}, {word} {', '.join(seeds)} failed: {reason}")
        if one.doubt:
            notes.append(f"{row.name}: no interval and no paired difference. {one.doubt}")
    known = [beside for beside in besides if beside]
    protocol = found[0].protocol if found else ""
    wrong = [beside.error(metrics_of(protocol)) for beside in known]
    notes += [source(known)] if known else []
    notes += [f"{WRONG} wrong in the paper, {error}" for error in dict.fromkeys(wrong) if error]
    return tuple(notes)


def _reason(results: GridResults, row: RowResults, found: Measured) -> str:
    if found.records:
        return "undefined"
    if row.failed:
        seed = min(row.failed)
        return f"failed: {_short(results, row.failed[seed])}"
    others = [one for name, one in row.records.items() if name != found.protocol]
    if any(len(one) >= len(results.seeds) for one in others):
        return f"no result with {found.protocol}"
    return "not yet done"


def _short(results: GridResults, reason: str) -> str:
    """A reason in one line, without the folder of the grid."""
    text = " ".join(reason.replace(str(results.folder), ".").split())
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"
