"""A matrix of shares in grey, with a text in each cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sm3kit.results.lettering import SMALL, text_height, text_width, wrap
from sm3kit.results.picture import COLUMN, PAGE, TWO_COLUMNS, sheet

CELL, SMALLEST = 0.62, 0.3  # Inches of a cell at most, and at least if it holds a text.
NAME, NAME_LINES = 1.7, 2  # Inches and lines of a name beside or below a matrix.
DARK = 0.6  # Black text is not read above.
MOST = 40  # Letters of a name in a title or a sentence of a figure.


def cut(names: Sequence[str]) -> list[str]:
    """Names for titles: long ones end in an ellipsis."""
    return [name if len(name) <= MOST else f"{name[: MOST - 1]}…" for name in names]


def matrix_sheet(names: Sequence[str], least: float) -> tuple[Figure, Axes, float]:
    """A figure for a square matrix in as many columns of the page as it needs; the size of a cell.

    Args:
        names: of rows and columns.
        least: inches that the text of a cell wants.
    """
    longest = name_room(names)
    left, top = 0.45 + longest, 0.12
    for width in (COLUMN, TWO_COLUMNS, PAGE):
        cell = min(CELL, (width - left - 0.1) / len(names))
        if cell >= least:
            break
    below = 0.48 + (longest if _must_turn(names, cell) else text_height(1))
    side = cell * len(names)
    margins = (left, width - left - side, below, top)
    figure, (panel,) = sheet(width, side + below + top, margins=margins)
    return figure, panel, cell


def name_room(names: Sequence[str]) -> float:
    """The inches that the names of rows take beside a matrix, and turned those of columns below it."""
    return max(text_width(line) for name in _names(names) for line in name.split("\n"))


def _names(names: Sequence[str]) -> list[str]:
    return [wrap(name, NAME, most=NAME_LINES) for name in names]


def _must_turn(names: Sequence[str], cell: float) -> bool:
    """Whether some name has no room below its column, so that all are turned."""
    return max(map(text_width, names)) > 0.9 * cell


def fill(
    panel: Axes,
    cell: float,
    shares: npt.NDArray[Any],
    names: Sequence[str],
    text: Callable[[int, int], str],
    size: float = SMALL,
    columns: Sequence[str] = (),
) -> None:
    """Draws a matrix.

    Args:
        cell: its size in inches.
        shares: (C, C), 0 is white and 1 is black; NaN is white, too.
        names: of rows and columns.
        text: of the cell at a row and a column.
        size: of these texts in points.
        columns: names of the columns, where they are not those of the rows.
    """
    panel.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    columns = columns or names
    turn = 90 if _must_turn(columns, cell) else 0
    panel.set_xticks(range(len(columns)), _names(columns), rotation=turn, linespacing=1)
    panel.set_yticks(range(len(names)), _names(names), linespacing=1)
    right, below = len(columns) - 0.5, len(names) - 0.5
    panel.vlines(np.arange(len(columns) + 1) - 0.5, -0.5, below, color="white", linewidth=1.5)
    panel.hlines(np.arange(len(names) + 1) - 0.5, -0.5, right, color="white", linewidth=1.5)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    for row, column in np.ndindex(*shares.shape):
        panel.text(
            column,
            row,
            text(row, column),
            ha="center",
            va="center",
            fontsize=size,
            color="white" if shares[row, column] > DARK else "black",
        )
