"""How well images find their partners after pre-training: directions by split and space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

from sm3kit.results.formats.plain import column_lines
from sm3kit.results.numbers import Number
from sm3kit.results.section import Cell, Column, Line, Section

Ranks = Mapping[str, Mapping[str, Mapping[str, tuple[float, int]]]]
WIDEST = 80
TITLE = "mean rank of the true partner by split and space; 1 is best, chance is guessing"


def rank_lines(ranks: Ranks) -> list[str]:
    """A table in lines, or one for each split where all are wider than 80 columns.

    Args:
        ranks: {split: {space: {direction: (mean rank, pairs)}}}; may be empty.
    """
    if not any(ways for spaces in ranks.values() for ways in spaces.values()):
        return []
    lines = column_lines(rank_section(ranks, list(ranks)))
    if max(map(len, lines)) > WIDEST:
        lines = [line for split in ranks for line in column_lines(rank_section(ranks, [split]))]
    return lines


def rank_section(ranks: Ranks, splits: Sequence[str]) -> Section:
    """A line for each direction, with the mean ranks in each split and space beside chance."""
    columns = [Column("direction", "text", narrow="direction")]
    for split in splits:
        for name in (*ranks[split], "chance"):
            columns.append(Column(f"{name}, {split}", "rank", narrow=f"{split}\n{name}"))
    directions = dict.fromkeys(
        way for split in splits for ways in ranks[split].values() for way in ways
    )
    lines = []
    for way in directions:
        cells = [Cell(way.replace("->", "→"), way)]
        for split in splits:
            measured = [ways.get(way) for ways in ranks[split].values()]
            pairs = next((rank[1] for rank in measured if rank), None)
            numbers = [rank[0] if rank else None for rank in measured]
            numbers.append(None if pairs is None else (pairs + 1) / 2)
            cells += map(_cell, numbers)
        lines.append(Line(tuple(cells)))
    return Section(TITLE, tuple(columns), tuple(lines))


def _cell(rank: float | None) -> Cell:
    return Column("", "rank").cell(None if rank is None or isnan(rank) else Number(rank))
