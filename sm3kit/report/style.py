"""One look for all figures: colour-blind safe, readable in grey, text that stays text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito 2008, Color Universal Design, without yellow, which vanishes on white; ordered so
# that neighbours differ in brightness, too.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#009E73", "#D55E00", "#56B4E9", "#CC79A7")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "h")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (6, 2)),
    (0, (1, 1.5)),
    (0, (6, 2, 1, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)
HATCHES = ("", "///", "xx", "\\\\\\\\\\\\", "--", "||", "++")
FAINT = "#6b6b6b"

LOOK: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # Found by itself it takes a quarter of the drawing.
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#dddddd",
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "sm3kit",
}


@contextmanager
def look() -> Iterator[None]:
    """A block in which figures have this look, whatever the user has set."""
    with rc_context():
        from matplotlib import rcdefaults, rcParams

        rcdefaults()
        rcParams.update(LOOK)
        yield


def sheet(
    width: float,
    height: float,
    rows: int = 1,
    columns: int = 1,
    margins: tuple[float, float, float, float] | None = None,
    gaps: tuple[float, float] = (0.0, 0.0),
    **more: Any,
) -> tuple[Figure, list[Axes]]:
    """A figure of some inches with its panels, row by row; no window and no global state.

    Args:
        margins: left, right, bottom and top in inches; None fits them to the texts, which takes
            as long as the drawing.
        gaps: between columns and between rows, in inches, beside margins.
        more: as `matplotlib.figure.Figure.subplots` takes it.
    """
    figure = Figure(figsize=(width, height), layout=None if margins else "constrained")
    panels = figure.subplots(rows, columns, squeeze=False, **more)
    if margins:
        left, right, bottom, top = margins
        wide = (width - left - right - gaps[0] * (columns - 1)) / columns
        high = (height - bottom - top - gaps[1] * (rows - 1)) / rows
        figure.subplots_adjust(
            left / width,
            bottom / height,
            1 - right / width,
            1 - top / height,
            wspace=gaps[0] / wide,
            hspace=gaps[1] / high,
        )
    return figure, list(panels.ravel())


def line_style(place: int) -> dict[str, Any]:
    """Colour and dashes of the n-th line; after all colours have passed the dashes go on."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[(place + place // len(COLOURS)) % len(DASHES)],
    }


def point_style(place: int) -> dict[str, Any]:
    """Colour and marker of the n-th class, for `scatter`."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
