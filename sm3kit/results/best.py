"""Which numbers of a column are marked as its best."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sm3kit.results.section import Column, Line


def mark_best(columns: Sequence[Column], lines: Iterable[Line]) -> tuple[Line, ...]:
    """The lines with the best number of each column marked, and all that look the same.

    Numbers are compared as they are printed. A column with less than two numbers has no best.
    """
    marked = list(lines)
    for place, column in enumerate(columns):
        numbers = [line.cells[place].number for line in marked]
        ranks = [column.rank_of(number) for number in numbers if number]
        if not column.better or len(ranks) < 2:
            continue
        for row, number in enumerate(numbers):
            if number and column.rank_of(number) == max(ranks):
                cells = list(marked[row].cells)
                cells[place] = replace(cells[place], best=True)
                marked[row] = replace(marked[row], cells=tuple(cells))
    return tuple(marked)
