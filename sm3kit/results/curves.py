"""Curves of a study of hyper-parameters: mean AUC on each axis, with the interval as a band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isclose, log10
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sm3kit.results.lettering import legend_of, line_count, text_height, text_width, visible, wrap
from sm3kit.results.numbers import Number, value_text
from sm3kit.results.picture import COLUMN, Picture, line_style, look, sheet
from sm3kit.results.section import Line, Section
from sm3kit.results.table import Table

PANEL = 2.3  # Inches, the height of the drawing.
MARGIN = 0.62  # Inches left of it.
ROOM = (COLUMN - MARGIN - 0.2) / 1.16  # Inches between the lowest and the highest value.
NEAR = 0.11  # Numbers whose places differ by less of the width do not fit side by side.
DECADES = 2
TICK_LINES = 3


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Args:
        name: in the legend if there are several lines.
        points: (value, mean AUC), in order.
    """

    name: str
    points: tuple[tuple[Any, Number], ...]


def charts(table: Table) -> dict[str, Picture]:
    """{axis: chart} of the first protocol with an AUC, for every axis with two points or more."""
    sections = [section for section in table.sections if section.part == "means"]
    means = next((s for s in sections if any(c.metric == "auc" for c in s.columns)), None)
    if means is None or means.basis is None:
        return {}
    pictures = {}
    for axis, values in table.axes.items():
        curves = curves_of(means, axis, values)
        if any(len(curve.points) > 1 for curve in curves):
            basis, count = means.basis, len(means.basis.seeds)
            setting = (
                f"{means.protocol}, select {basis.select}, split {basis.split}, {count} "
                f"seed{'s' * (count != 1)}, {curves[0].points[0][1].support}"
            )
            pictures[axis] = _chart(axis, setting, curves)
    return pictures


def curves_of(section: Section, axis: str, values: Sequence[Any]) -> list[Curve]:
    """The points on an axis that have an AUC: a curve for each row and place of the others."""
    place = next(n for n, column in enumerate(section.columns) if column.metric == "auc")
    curves: dict[str, dict[str, tuple[Any, Number]]] = {}
    for line in section.lines:
        number = line.cells[place].number
        if axis in line.axes and number is not None:
            value = line.axes[axis]
            curves.setdefault(_rest(line, axis), {}).setdefault(str(value), (value, number))
    order = {str(value): number for number, value in enumerate(values)}
    return [Curve(name, _in_order(list(points.values()), order)) for name, points in curves.items()]


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values span more than two decades, or grow by one factor as 64, 128, 256 do."""
    ordered = sorted(values)
    if ordered[0] <= 0:
        return False
    factors = [more / less for less, more in pairwise(ordered)]
    even = len(factors) > 1 and all(isclose(factor, factors[0]) for factor in factors)
    return even or ordered[-1] / ordered[0] > 10**DECADES


def _in_order(
    points: list[tuple[Any, Number]], order: dict[str, int]
) -> tuple[tuple[Any, Number], ...]:
    """Numbers by size, words in the order of the grid."""
    if all(isinstance(value, int | float) for value, _ in points):
        return tuple(sorted(points, key=lambda point: point[0]))
    return tuple(sorted(points, key=lambda point: order.get(str(point[0]), len(order))))


def _rest(line: Line, axis: str) -> str:
    """What tells a curve from the others: its row, and the values on all other axes."""
    row = line.name
    for name in line.axes:
        row = row.partition(f"{name}=")[0]
    others = [f"{name}={value}" for name, value in line.axes.items() if name != axis]
    return ", ".join(filter(None, [row.strip(), *others]))


@look()
def _chart(axis: str, setting: str, curves: Sequence[Curve]) -> Picture:
    """Mean AUC against the values of an axis, with the interval as a band."""
    values = {str(value): value for curve in curves for value, _ in curve.points}
    places, scale = _places(values)
    several = len(curves) > 1
    ticks = _tick_texts(places, values)
    heads = wrap("mean AUC in %", COLUMN, 10, bold=True), wrap(setting, COLUMN - 0.2)
    legend = legend_of([curve.name for curve in curves], COLUMN - 0.2) if several else None
    label = wrap(f"{axis}{scale}", COLUMN - MARGIN, 10, most=2)
    below = (
        0.4 + 0.16 * (line_count(ticks) + line_count([label])) + (legend.height if legend else 0)
    )
    top = text_height(1, 10) + text_height(line_count(heads[1:])) + 0.14
    height = below + PANEL + top
    figure, (panel,) = sheet(COLUMN, height, margins=(MARGIN, 0.2, below, top))
    numbers = not several and _is_roomy(list(places.values()))
    for number, curve in enumerate(curves):
        _draw(panel, curve, places, line_style(number), numbers=numbers)
    panel.set_xlim(-0.08, 1.08)
    panel.margins(y=0.16)
    panel.yaxis.set_major_locator(MaxNLocator(6))
    panel.grid(axis="y")
    panel.set_axisbelow(True)
    panel.set_xticks([*places.values()], ticks)
    panel.set_xlabel(label)
    figure.text(0.1 / COLUMN, 1 - 0.05 / height, heads[0], weight="bold", va="top")
    figure.text(0.1 / COLUMN, 1 - 0.25 / height, heads[1], fontsize=9, va="top", linespacing=1.1)
    if legend:
        legend.draw(figure, panel.get_legend_handles_labels()[0], 0.1, legend.height + 0.04)
    gaps = any(number.low is None for curve in curves for _, number in curve.points)
    return Picture(
        f"curve-{axis}",
        f"Mean AUC by {axis}",
        "; ".join(
            f"{curve.name} {value_text(value)}: {number.mean:.1f}".strip()
            for curve in curves
            for value, number in curve.points
        ),
        f"In %, mean over the seeds: {setting}. The band is the 95 % interval."
        + " Where there is no band, no interval was computed." * gaps
        + " The table has the numbers." * (not numbers),
        figure,
    )


def _places(values: Mapping[str, Any]) -> tuple[dict[str, float], str]:
    """Where each value stands between 0 and 1, and what is to be said of the scale."""
    numeric = all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values.values()
    )
    scale = ""
    if not numeric:
        levels = {key: float(place) for place, key in enumerate(values)}
    elif is_logarithmic(list(values.values())):
        levels, scale = {key: log10(value) for key, value in values.items()}, " (log scale)"
    else:
        levels = {key: float(value) for key, value in values.items()}
    least, most = min(levels.values()), max(levels.values())
    return {key: (level - least) / (most - least or 1) for key, level in levels.items()}, scale


def _is_roomy(places: Sequence[float]) -> bool:
    """Whether numbers above and below the points, by turns, do not meet."""
    ordered = sorted(places)
    return all(more - less >= NEAR for less, more in zip(ordered, ordered[2:], strict=False))


def _tick_texts(places: Mapping[str, float], values: Mapping[str, Any]) -> list[str]:
    """The values below the axis; texts that come too close go some lines down."""
    ends = [float("-inf")] * TICK_LINES
    texts = {}
    for key in sorted(places, key=lambda key: places[key]):
        text = value_text(values[key])
        half = (text_width(text) + 0.08) / ROOM / 2
        row = next((n for n, end in enumerate(ends) if places[key] - half >= end), len(ends) - 1)
        ends[row] = places[key] + half
        texts[key] = "\n" * row + text
    return [texts[key] for key in places]


def _draw(
    panel: Axes,
    curve: Curve,
    places: Mapping[str, float],
    style: dict[str, Any],
    *,
    numbers: bool,
) -> None:
    """A line with its band, and the mean beside each point if `numbers` are wanted."""
    spots = [(places[str(value)], number) for value, number in curve.points]
    means = [number.mean for _, number in spots]
    panel.plot([x for x, _ in spots], means, marker="o", label=visible(curve.name), **style)
    ends = [(number.low, number.high) for _, number in spots]
    if any(low is not None for low, _ in ends):
        lows, highs = np.array(ends, float).T  # NaN, and so a gap, where there is none.
        across = [x for x, _ in spots]
        panel.fill_between(across, lows, highs, color=style["color"], alpha=0.14, linewidth=0)
    if not numbers:
        return
    above, last = True, float("-inf")
    for x, number in spots:
        # By turns where points are near.
        above = not above if x - last < NEAR else True
        last = x
        panel.annotate(
            f"{number.mean:.1f}", (x, number.mean), (0, 6 if above else -6),
            textcoords="offset points", ha="center", va="bottom" if above else "top", fontsize=9,
        )  # fmt: skip
