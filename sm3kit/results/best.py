"""Which numbers of a column are marked as its best, and which only look like it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from sm3kit.results.numbers import Number
from sm3kit.results.section import Column, Line


def mark_best(columns: Sequence[Column], lines: Iterable[Line]) -> tuple[Line, ...]:
    """The lines with the best number of each column marked, in each block of lines for itself.

    Numbers are compared as they are printed, so that several may be the best. A column with less
    than two numbers has no best. A number at chance is not marked, and neither is one whose
    difference to the baseline may be 0.
    """
    marked: list[Line] = []
    for _, block in groupby(lines, lambda line: line.block):
        marked += _mark_block(columns, list(block))
    return tuple(marked)


def _mark_block(columns: Sequence[Column], lines: list[Line]) -> list[Line]:
    for place, column in enumerate(columns):
        numbers = [line.cells[place].number for line in lines]
        known = [number for number in numbers if number]
        if not column.better or len(known) < 2:
            continue
        for row, number in enumerate(numbers):
            if number and _is_best(column, number, known):
                cells = list(lines[row].cells)
                cells[place] = replace(cells[place], best=True)
                lines[row] = replace(lines[row], cells=tuple(cells))
    return lines


def _is_best(column: Column, number: Number, known: Sequence[Number]) -> bool:
    """Whether it is on top with evidence: the baseline, too, has to differ from all others."""
    if column.rank_of(number) < max(map(column.rank_of, known)) or number.at_chance:
        return False
    return number.differs if number.gain else all(other.differs for other in known)
