"""A matrix of shares in grey, with a text in each cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sm3kit.results.picture import sheet

CELL = 0.62  # Inches.
LETTER = 0.085
LONG = 0.45  # A name that has no room below its column.
DARK = 0.6  # Black text is not read above.
MOST = 32  # Letters of a name; a longer one is cut, so that the picture has room for the rest.


def cut(names: Sequence[str]) -> list[str]:
    """Names as pictures show them."""
    return [name if len(name) <= MOST else f"{name[: MOST - 1]}…" for name in names]


def matrix_sheet(names: Sequence[str]) -> tuple[Figure, Axes]:
    """A figure for a square matrix, with room for its names."""
    longest = LETTER * max(map(len, cut(names)))
    left, below = 0.5 + longest, 0.6 + 0.6 * longest * (longest > LONG)
    side = max(1.6, CELL * len(names))
    figure, (panel,) = sheet(
        side + left + 0.1, side + below + 0.35, margins=(left, 0.1, below, 0.35)
    )
    return figure, panel


def fill(
    panel: Axes,
    shares: npt.NDArray[Any],
    names: Sequence[str],
    text: Callable[[int, int], str],
) -> None:
    """Draws a matrix.

    Args:
        shares: (C, C), 0 is white and 1 is black.
        names: of rows and columns.
        text: of the cell at a row and a column.
    """
    panel.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    places = range(len(names))
    names = cut(names)
    long = LETTER * max(map(len, names)) > LONG
    turned: dict[str, Any] = (
        {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if long else {}
    )
    panel.set_xticks(places, names, **turned)
    panel.set_yticks(places, names)
    edges, ends = np.arange(len(names) + 1) - 0.5, (-0.5, len(names) - 0.5)
    panel.vlines(edges, *ends, color="white", linewidth=1.5)
    panel.hlines(edges, *ends, color="white", linewidth=1.5)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    for row, column in np.ndindex(*shares.shape):
        panel.text(
            column,
            row,
            text(row, column),
            ha="center",
            va="center",
            fontsize=9,
            color="white" if shares[row, column] > DARK else "black",
        )
