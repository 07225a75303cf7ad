"""A small line chart as SVG: readable in black and white, alone or inside a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isclose, log10
from typing import Any

from sm3kit.results.cells import Number

WIDTH, HEIGHT = 520, 310
LEFT, RIGHT, TOP, BOTTOM = 50, 16, 46, 66
INNER = 26  # The outermost points keep off the frame.
NEAR = 34  # Texts closer than this do not fit side by side.
DASHES = ("none", "7 3", "2 3", "9 3 2 3")
DECADES = 2
# Inside a page of HTML it is not needed.
NAMESPACE = ' xmlns="http://www.w3.org/2000/svg"'
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
MOST_TICKS = 6


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Args:
        name: beside its end if there are several lines.
        points: (value, mean AUC), in order.
    """

    name: str
    points: tuple[tuple[Any, Number], ...]


def draw(axis: str, setting: str, curves: Sequence[Curve]) -> str:
    """Mean AUC against the values of an axis, with the interval as a band.

    Args:
        axis: name of the axis.
        setting: what the numbers rest on, in words.
        curves: each with one point at least.
    """
    values = {str(value): value for curve in curves for value, _ in curve.points}
    places, scale = _across(values)
    numbers = [number for curve in curves for _, number in curve.points]
    ticks = _ticks(
        min(one.mean if one.low is None else one.low for one in numbers),
        max(one.mean if one.high is None else one.high for one in numbers),
    )

    def down(number: float) -> float:
        share = (ticks[-1] - number) / (ticks[-1] - ticks[0])
        return TOP + share * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg{NAMESPACE} viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" fill="currentColor" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(axis)}: mean AUC in %, {escape(setting)}</title>",
        f"<desc>{escape(_told(curves))}</desc>",
        _text(8, 16, "mean AUC in %, with the 95 % interval", "start"),
        _text(8, 32, setting, "start", size=11),
        *_frame(f"{axis}{scale}", [(places[key], value_text(one)) for key, one in values.items()]),
        *(part for tick in ticks for part in _level(down(tick), tick)),
    ]
    for place, curve in enumerate(curves):
        spots = [(places[str(value)], number) for value, number in curve.points]
        parts += _curve(spots, down, DASHES[place % len(DASHES)])
        if len(curves) > 1:
            x, number = spots[-1]
            parts.append(_text(x, down(number.mean) + 20, curve.name, "end", size=11))
    return "\n".join([*parts, "</svg>"]) + "\n"


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values span more than two decades, or grow by one factor as 64, 128, 256 do."""
    ordered = sorted(values)
    if ordered[0] <= 0:
        return False
    factors = [more / less for less, more in zip(ordered, ordered[1:], strict=False)]
    even = len(factors) > 1 and all(isclose(one, factors[0]) for one in factors)
    return even or ordered[-1] / ordered[0] > 10**DECADES


def _across(values: dict[str, Any]) -> tuple[dict[str, float], str]:
    """Where each value stands, and what is to be said of the scale."""
    numeric = all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in values.values()
    )
    scale = ""
    if not numeric:
        levels = {key: float(place) for place, key in enumerate(values)}
    elif is_logarithmic(list(values.values())):
        levels, scale = {key: log10(one) for key, one in values.items()}, " (log scale)"
    else:
        levels = {key: float(one) for key, one in values.items()}
    least, most = min(levels.values()), max(levels.values())
    width = WIDTH - LEFT - RIGHT - 2 * INNER
    shares = {key: (one - least) / (most - least or 1) for key, one in levels.items()}
    return {key: LEFT + INNER + share * width for key, share in shares.items()}, scale


def _ticks(least: float, most: float) -> list[float]:
    """Round numbers from below the least to above the most, two at least."""
    for step in STEPS:
        low, high = floor(least / step), max(ceil(most / step), floor(least / step) + 1)
        if high - low < MOST_TICKS:
            break
    return [round(step * place, 1) for place in range(low, high + 1)]


def _frame(title: str, ticks: Sequence[tuple[float, str]]) -> list[str]:
    """The horizontal axis; texts that come too close go one line down."""
    base = HEIGHT - BOTTOM
    parts = [_line(LEFT, base, WIDTH - RIGHT, base)]
    ends = [float("-inf"), float("-inf")]
    for x, text in sorted(ticks):
        half = max(NEAR, 7 * len(text)) / 2
        row = 0 if x - half >= ends[0] else 1
        ends[row] = x + half
        parts += [_line(x, base, x, base + 5), _text(x, base + 18 + 14 * row, text)]
    return [*parts, _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, title)]


def _level(y: float, value: float) -> list[str]:
    line = _line(LEFT, y, WIDTH - RIGHT, y, 'stroke-opacity="0.2"')
    return [line, _text(LEFT - 7, y + 4, f"{value:g}", "end")]


def _curve(
    spots: Sequence[tuple[float, Number]], down: Callable[[float], float], dash: str
) -> list[str]:
    """Band, line, and points with their numbers."""
    ends = [(x, one.low, one.high) for x, one in spots if one.low is not None]
    edge = [(x, high) for x, _, high in ends] + [(x, low) for x, low, _ in reversed(ends)]
    band = " ".join(f"{x:.1f},{down(end):.1f}" for x, end in edge if end is not None)
    line = " ".join(f"{x:.1f},{down(one.mean):.1f}" for x, one in spots)
    parts = [f'<polygon points="{band}" fill-opacity="0.14"/>'] if len(ends) > 1 else []
    parts.append(
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.6" '
        f'stroke-dasharray="{dash}"/>'
    )
    above, last = True, float("-inf")
    for x, number in spots:
        above = not above if x - last < NEAR else True
        last, y = x, down(number.mean)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
        parts.append(_text(x, y - 9 if above else y + 19, f"{number.mean:.1f}", size=11))
    return parts


def _told(curves: Sequence[Curve]) -> str:
    return "; ".join(
        f"{curve.name} {value_text(value)}: {number.mean:.1f}".strip()
        for curve in curves
        for value, number in curve.points
    )


def _text(x: float, y: float, text: str, anchor: str = "middle", *, size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _line(x: float, y: float, to_x: float, to_y: float, more: str = "") -> str:
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" '
        f'stroke="currentColor" {more}/>'
    )


def value_text(value: Any) -> str:
    """A value of an axis, short: 0.0001, 1e-06, relu."""
    return f"{value:g}" if isinstance(value, float) else str(value)
