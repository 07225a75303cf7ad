"""Tables that stay whole on a narrow terminal: columns go, never parts of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sm3kit.cli.settings import say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

GAP = 2  # Columns between two cells.
LONGEST_NAME = 12  # Longer ones are folded before a number has to go.
# Below every table that compares two results.
DIFFERENCE = "points of AUC, second minus first; 0 inside the interval: no evidence"


def show_columns(
    out: Console,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    least: Sequence[str] = (),
    bold: Sequence[int] = (),
) -> None:
    """Prints rows under heads, and says which columns a terminal has no room for.

    A file has room for all, and no more than a usual terminal for long names.

    Args:
        out: where to.
        heads: of the columns.
        rows: their cells.
        left: how many columns are names, which are folded and flush left; the others are numbers.
        least: heads of columns that go first, in this order; then the last ones go.
        bold: numbers of rows that stand out.
    """
    from rich.cells import cell_len

    shown = list(range(len(heads)))
    order = [heads.index(one) for one in least if one in heads]
    order += [one for one in reversed(range(left, len(heads))) if one not in order]
    widths = [max(cell_len(line[place]) for line in (heads, *rows)) for place in shown]
    widths[:left] = [min(width, LONGEST_NAME) for width in widths[:left]]
    if not out.is_terminal:
        before, out.width = out.width, max(out.width, sum(widths) + GAP * len(widths))
        out.print(_table(heads, rows, shown, left, bold))
        out.width = before
        return
    for column in order:
        if len(shown) == left + 1 or sum(widths[place] + GAP for place in shown) <= out.width + GAP:
            break
        shown.remove(column)
    out.print(_table(heads, rows, shown, left, bold))
    gone = [head for place, head in enumerate(heads) if place not in shown]
    if gone:
        say(out, f"no room  for {', '.join(gone)} in {out.width} columns")


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    shown: Sequence[int],
    left: int,
    bold: Sequence[int],
) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for place in shown:
        if place < left:
            table.add_column(escape(heads[place]), overflow="fold")
        else:
            table.add_column(escape(heads[place]), justify="right", no_wrap=True)
    for number, row in enumerate(rows):
        cells = [escape(row[place]) for place in shown]
        table.add_row(*cells, style="bold" if number in bold else None)
    return table
