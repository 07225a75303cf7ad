"""The sections of pair matching: one for each space, with and without shared images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sm3kit.evaluation.record_text import pairs_were_seen
from sm3kit.results.cells import Column, Number
from sm3kit.results.lines import basis_of, line_of, notes_of, with_best
from sm3kit.results.printed import Printed, printed
from sm3kit.results.results import GridResults, Record
from sm3kit.results.sections import Section
from sm3kit.results.seeds import RANKS, Measured, measured, rank_number

PUBLISHED_SPACE = "backbone"
HEADS = {"mean_rank": "mean rank", "acc@1": "acc@1", "acc@5": "acc@5"}
HOW = (
    "mean ± deviation over the seeds (n - 1); ranks from 1, lower is better; acc in %; the "
    "paper tells neither space nor direction"
)


def rank_sections(results: GridResults) -> list[Section]:
    """One section for each space of features; one that tells the reasons if there is none."""
    found = [measured(row, "match", 0) for row in results.rows]
    spaces = [space for one in found for record in one.records for space in _spaces(record)] or [
        PUBLISHED_SPACE
    ]
    return [_section(results, found, space) for space in dict.fromkeys(spaces)]


def _section(results: GridResults, found: Sequence[Measured], space: str) -> Section:
    columns = tuple(
        Column(
            metric,
            direction,
            f"{HEADS[metric]} {direction.replace('->', '→')}".strip(),
            "rank" if metric == "mean_rank" else "percent",
            "lower" if metric == "mean_rank" else "higher",
        )
        for direction in _directions(found, space) or [""]
        for metric in RANKS
    )
    besides = [
        printed(results, row, "match") if space == PUBLISHED_SPACE else None for row in results.rows
    ]
    lines = [
        line_of(results, row, one, _numbers(one, space, columns, beside), beside)
        for row, one, beside in zip(results.rows, found, besides, strict=True)
    ]
    return Section(
        "match",
        space,
        f"match, {space}",
        columns,
        with_best(columns, lines),
        "published rank / acc@1 / acc@5" if any(besides) else "",
        basis_of(results, found, _support(found, space)),
        notes_of(results, found, besides, f"{HOW}{_seen(found)}"),
    )


def _numbers(
    one: Measured, space: str, columns: Sequence[Column], beside: Printed | None
) -> list[Number | None]:
    numbers: list[Number | None] = []
    for column in columns:
        ranks = [
            spaces[space][column.label]
            for spaces in map(_spaces, one.records)
            if column.label in spaces.get(space, {})
        ]
        number = rank_number(ranks, column.metric) if ranks else None
        numbers.append(beside.beside(number, column.metric) if beside and number else number)
    return numbers


def _spaces(record: Record) -> dict[str, dict[str, Any]]:
    """{space: {direction: ranks}} of a record; those without shared images by their own name."""
    rest = record.get("without_duplicates", {"space": {}})["space"]
    return {**record["space"], **{f"{name} without duplicates": one for name, one in rest.items()}}


def _directions(found: Sequence[Measured], space: str) -> list[str]:
    names = [
        direction
        for one in found
        for record in one.records
        for direction in _spaces(record).get(space, {})
    ]
    return list(dict.fromkeys(names))


def _support(found: Sequence[Measured], space: str) -> str:
    ranks = [
        ranks
        for one in found
        for record in one.records
        for ranks in _spaces(record).get(space, {}).values()
    ]
    numbers = sorted({(one["n"], one["chance"]) for one in ranks})
    return "; ".join(f"{count} pairs, mean rank by chance {chance:g}" for count, chance in numbers)


def _seen(found: Sequence[Measured]) -> str:
    """Whether pre-training has seen the pairs that are matched."""
    records = [record for one in found for record in one.records]
    return "; the pairs were seen in pre-training" if any(map(pairs_were_seen, records)) else ""
