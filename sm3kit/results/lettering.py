"""Texts of figures, measured before they are drawn, so that each has the room that it needs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

POINTS = 72  # Per inch.
SMALL = 9.0  # Points: names of ticks and legends.
LEADING = 1.3  # Height of a line in font sizes.
HANDLE = 0.62  # Inches of a legend that the sample of a line and the gaps around a name take.
BETWEEN = 0.05  # Inches between the names of a legend.
INVISIBLE = "\N{ZERO WIDTH SPACE}"


@cache
def text_width(text: str, size: float = SMALL, *, bold: bool = False) -> float:
    """The width of one line of text in inches."""
    font = get_font(
        findfont(FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal"))
    )
    font.set_size(size, POINTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A letter that the font lacks is warned of when drawn.
        font.set_text(text, 0)
    width: float = font.get_width_height()[0] / 64
    return width / POINTS


def text_height(lines: int, size: float = SMALL) -> float:
    """The height of some lines of text in inches."""
    return lines * size * LEADING / POINTS


def wrap(text: str, width: float, size: float = SMALL, *, bold: bool = False, most: int = 3) -> str:
    """A text on as many lines as its width needs; an ellipsis ends what `most` lines cannot hold.

    Lines break after blanks and after the signs that join the words of a name, else anywhere.

    Args:
        width: of a line, in inches.
        size: of the font, in points.
    """

    def fits(line: str) -> bool:
        return text_width(line, size, bold=bold) <= width

    lines = [""]
    for piece in re.split(r"(?<=[\s_/→\-])", text):
        if lines[-1].strip() and not fits((lines[-1] + piece).rstrip()):
            lines.append("")
        lines[-1] += piece
        while not fits(lines[-1].rstrip()) and len(lines[-1]) > 1:
            whole = sum(map(fits, accumulate(lines[-1]))) or 1
            lines[-1:] = [lines[-1][:whole], lines[-1][whole:]]
    lines = [line.strip() for line in lines]
    if len(lines) > most:
        last = lines[most - 1]
        while last and not fits(f"{last}…"):
            last = last[:-1]
        lines = [*lines[: most - 1], f"{last}…"]
    return "\n".join(lines)


def visible(name: str) -> str:
    """A name for a legend; matplotlib leaves out those that begin with an underscore."""
    return f"{INVISIBLE}{name}" if name.startswith("_") else name


def line_count(texts: Sequence[str]) -> int:
    """The number of lines of the tallest text; 0 without a text."""
    return max((text.count("\n") + 1 for text in texts if text), default=0)


@dataclass(frozen=True)
class Legend:
    """A legend whose size is known before it is drawn.

    Attributes:
        names: in order, on lines that fit.
        columns: how many names stand side by side.
        height: in inches.
    """

    names: tuple[str, ...]
    columns: int
    height: float

    def draw(self, figure: Figure, handles: Sequence[Any], left: float, top: float) -> None:
        """Draws it, its upper left corner at inches from the left and from the bottom."""
        width, height = figure.get_size_inches()
        figure.legend(
            handles, self.names, ncols=self.columns, loc="upper left", borderaxespad=0,
            bbox_to_anchor=(left / width, top / height), borderpad=0, handlelength=2.6,
            handletextpad=0.7, columnspacing=1.3, labelspacing=BETWEEN * POINTS / SMALL,
        )  # fmt: skip


def legend_of(names: Sequence[str], width: float) -> Legend:
    """The legend of some names below a width in inches; none of them is cut off by its end."""
    shown = [visible(wrap(name, width - HANDLE)) for name in names]
    longest = max(text_width(line) for name in shown for line in name.split("\n"))
    columns = max(1, min(len(shown), int(width / (HANDLE + longest))))
    rows = -(-len(shown) // columns)
    lines = [line_count([name]) for name in shown] if columns == 1 else [line_count(shown)] * rows
    return Legend(tuple(shown), columns, sum(text_height(count) + BETWEEN for count in lines))
