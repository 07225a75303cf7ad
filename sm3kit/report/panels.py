"""Small panels side by side, one for each subject, each with its title and the room it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sm3kit.results.lettering import SMALL, Legend, line_count, text_height, visible, wrap
from sm3kit.results.picture import COLOURS, COLUMN, HATCHES, PAGE, TWO_COLUMNS, line_style, sheet

Points = Sequence[tuple[int, float]]
Lines = Mapping[str, Points]

TITLE = 10.0  # Points.
TICKS, FOOT = 0.3, 0.28  # Inches below a panel, and below all for their common name.
LEFT, RIGHT, GAP = 0.74, 0.16, 0.14
NAMES = 1.6  # Inches of the names beside bars.
ACROSS = {1: COLUMN, 2: TWO_COLUMNS}  # Widths of as many panels; more take the page.


def panel_sheet(
    titles: Sequence[str],
    legends: Sequence[Legend] = (),
    *,
    across: int = 4,
    height: float = 1.35,
    left: float = LEFT,
    foot: str = "epoch",
    shared: Legend | None = None,
) -> tuple[Figure, list[Axes]]:
    """A figure with a panel below each title, row by row.

    Args:
        titles: one for each panel, broken into lines where it is long.
        legends: of each panel, for which room is left below it, or none.
        across: at most so many panels stand side by side.
        height: of a panel in inches.
        left: inches for the texts beside a panel.
        foot: name of the common horizontal axis; empty without one.
        shared: a legend for all panels, for which room is left at the bottom.
    """
    across = min(across, len(titles))
    width = ACROSS.get(across, PAGE)
    cell = width / across
    titles = [wrap(text, cell - left - RIGHT, TITLE, bold=True) for text in titles]
    rows = [titles[start : start + across] for start in range(0, len(titles), across)]
    heads = [text_height(line_count(row), TITLE) + 0.08 for row in rows]
    below = TICKS + max((legend.height + FOOT for legend in legends), default=0.0)
    bottom = (FOOT if foot else 0.0) + (shared.height + 0.06 if shared else 0.0)
    total = sum(heads) + len(rows) * (height + below + GAP) + bottom
    figure, panels = Figure(figsize=(width, total)), []
    top = total
    for row, head in zip(rows, heads, strict=True):
        top -= head + height
        for place, title in enumerate(row):
            box = (place * cell + left, top, cell - left - RIGHT, height)
            panel = figure.add_axes(
                (box[0] / width, box[1] / total, box[2] / width, height / total)
            )
            panel.set_title(title, fontsize=TITLE, linespacing=1.1)
            panel.set_axisbelow(True)
            if legends and foot:
                panel.set_xlabel(foot)
            panels.append(panel)
        top -= below + GAP
    if foot and not legends:
        figure.text(0.5, (bottom - 0.02) / total, foot, ha="center", va="top", fontsize=TITLE)
    return figure, panels


def draw_legends(
    figure: Figure, panels: Sequence[Axes], legends: Sequence[Legend], shared: Legend | None = None
) -> None:
    """Draws the legend of each panel below it, and the one that all share at the bottom."""
    width, height = figure.get_size_inches()
    for panel, legend in zip(panels, legends, strict=False):
        box = panel.get_position()
        handles, _ = panel.get_legend_handles_labels()
        legend.draw(figure, handles, box.x0 * width, box.y0 * height - TICKS - FOOT)
    if shared:
        handles = next(
            h for p in panels if len(h := p.get_legend_handles_labels()[0]) == len(shared.names)
        )
        shared.draw(figure, handles, LEFT, shared.height + 0.02)


def draw_curves(panel: Axes, lines: Lines, *, markers: bool = False) -> None:
    """Draws curves over the epochs; values of one epoch alone become bars.

    Args:
        lines: {name: its (epoch, value)}; a name without points is in the legend alone.
        markers: whether each point has a mark.
    """
    panel.yaxis.set_major_locator(MaxNLocator(4))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.grid(axis="y")
    if not is_curve(lines):
        _draw_bars(panel, lines)
        return
    for place, (name, points) in enumerate(lines.items()):
        dots: dict[str, Any] = (
            {"marker": "o", "markersize": 4} if markers or len(points) == 1 else {}
        )
        panel.plot(*transpose(points), label=visible(name), **line_style(place), **dots)
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))


def _draw_bars(panel: Axes, lines: Lines) -> None:
    for place, (name, points) in enumerate(lines.items()):
        colour = COLOURS[place % len(COLOURS)]
        panel.bar(
            place, points[0][1] if points else float("nan"), 0.7, label=visible(name), facecolor="white",
            edgecolor=colour, hatch=HATCHES[(place + 1) % len(HATCHES)],
        )  # fmt: skip
    panel.axhline(0, color="black", linewidth=0.8)
    panel.set(xlim=(-0.8, max(len(lines), 3) - 0.2), xticks=[], xlabel="")


def is_curve(*groups: Mapping[Any, Points]) -> bool:
    """Whether some line has two epochs or more; else bars are drawn."""
    return any(len(points) > 1 for lines in groups for points in lines.values())


def bar_list(values: Mapping[str, float], label: str) -> Figure:
    """A column of horizontal bars, each with its name and its number.

    Args:
        label: of the horizontal axis.
    """
    names = [wrap(name, NAMES) for name in values]
    height = 0.16 + 0.17 * line_count(names)
    left, total = NAMES + 0.2, len(names) * height + 0.75
    figure, (panel,) = sheet(COLUMN, total, margins=(left, 0.75, 0.6, 0.15))
    bars = panel.barh(range(len(names)), list(values.values()), 0.6, facecolor=COLOURS[0])
    panel.bar_label(bars, fmt="%.3g", padding=3, fontsize=SMALL)
    panel.set_yticks(range(len(names)), names)
    panel.invert_yaxis()
    panel.xaxis.set_major_locator(MaxNLocator(3))
    panel.set_xlabel(label)
    return figure


def transpose(points: Points) -> tuple[list[int], list[float]]:
    """Epochs and values of a curve."""
    return [epoch for epoch, _ in points], [value for _, value in points]
