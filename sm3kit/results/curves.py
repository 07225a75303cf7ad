"""Which points make a curve, for each axis of a study of hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sm3kit.core.names import file_stem
from sm3kit.results.cells import Number
from sm3kit.results.chart import Curve, draw
from sm3kit.results.sections import Line, Section, Table


def charts(table: Table) -> dict[str, str]:
    """{axis: SVG} of the first protocol with labels, for every axis with two points or more."""
    labelled = [one for one in table.sections if one.part == "means"]
    found = {}
    for axis, values in table.axes.items() if labelled else ():
        curves = curves_of(labelled[0], axis, values)
        if any(len(curve.points) > 1 for curve in curves):
            basis = labelled[0].basis
            seeds = f"{len(basis.seeds)} seed{'s' * (len(basis.seeds) != 1)}"
            studies = curves[0].points[0][1].support
            setting = f"select {basis.select}, split {basis.split}, {seeds}, {studies}"
            found[axis] = draw(axis, f"{labelled[0].protocol}, {setting}", curves)
    return found


def file_name(axis: str) -> str:
    """The name of the file of an axis: `curve-lr.svg`."""
    return f"{file_stem(f'curve-{axis}')}.svg"


def curves_of(section: Section, axis: str, values: Sequence[Any]) -> list[Curve]:
    """The points on an axis that have a number: a curve for each row and place of the others."""
    found: dict[str, dict[str, tuple[Any, Number]]] = {}
    for line in section.lines:
        number = line.numbers[0]
        if axis in line.axes and number is not None:
            value = line.axes[axis]
            found.setdefault(_rest(line, axis), {}).setdefault(str(value), (value, number))
    order = {str(value): place for place, value in enumerate(values)}
    return [Curve(name, _sorted(list(points.values()), order)) for name, points in found.items()]


def _sorted(
    points: list[tuple[Any, Number]], order: dict[str, int]
) -> tuple[tuple[Any, Number], ...]:
    """Numbers by size, words in the order of the grid."""
    if all(isinstance(value, int | float) for value, _ in points):
        return tuple(sorted(points, key=lambda one: one[0]))
    return tuple(sorted(points, key=lambda one: order.get(str(one[0]), len(order))))


def _rest(line: Line, axis: str) -> str:
    """What tells a curve from the others: its row, and the values on all other axes."""
    row = line.name
    for one in line.axes:
        row = row.partition(f"{one}=")[0]
    others = [f"{name}={value}" for name, value in line.axes.items() if name != axis]
    return ", ".join(filter(None, [row.strip(), *others]))
