"""Tables on a terminal, whole on a narrow one: columns go, never parts of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sm3kit.cli.settings import say

if TYPE_CHECKING:
    from rich import table as rich_table
    from rich.console import Console

    from sm3kit.results.differences import Difference
    from sm3kit.results.table import Section, Table

GAP = 2  # Columns between two cells.
LONGEST_NAME = 12  # Longer ones are folded before a number has to go.


def show_table(table: Table, out: Console) -> None:
    """The main sections of a grid, with what they rest on."""
    for section in table.main:
        title, *notes = section.told()
        say(out, f"\n{table.title}: {title}", style="bold")
        show_section(section, out)
        for note in notes:
            say(out, note)


def show_differences(rows: Sequence[Difference], out: Console) -> None:
    """What the second of two grids has more than the first."""
    from sm3kit.results.differences import difference_section

    section = difference_section(rows)
    show_section(section, out)
    for note in section.notes:
        say(out, note)


def show_section(
    section: Section, out: Console, *, least: Sequence[str] = (), missing: str = ""
) -> None:
    """Prints a section, and says which columns a terminal has no room for.

    A file has room for all, and no more than a usual terminal for long names.

    Args:
        section: the columns at its left that hold text are names, which are folded.
        out: where to.
        least: heads of columns that go first, in this order; then the last ones go.
        missing: what stands for a number that is not there; the table's own sign by default.
    """
    from rich.cells import cell_len

    from sm3kit.results.table import NONE

    heads, *rows = section.shown()
    if missing:
        rows = [[missing if text == NONE else text for text in row] for row in rows]
    units = [column.unit for column in section.columns if column.narrow]
    left = next(place for place, unit in enumerate([*units, ""]) if unit != "text")
    kept = list(range(len(heads)))
    order = [heads.index(head) for head in least if head in heads]
    order += [place for place in reversed(range(left, len(heads))) if place not in order]
    widths = [max(cell_len(line[place]) for line in (heads, *rows)) for place in kept]
    widths[:left] = [min(width, LONGEST_NAME) for width in widths[:left]]
    bold = len(section.lines)
    if not out.is_terminal:
        before, out.width = out.width, max(out.width, sum(widths) + GAP * len(widths))
        out.print(_table(heads, rows, kept, left, bold))
        out.width = before
        return
    for column in order:
        if len(kept) == left + 1 or sum(widths[place] + GAP for place in kept) <= out.width + GAP:
            break
        kept.remove(column)
    out.print(_table(heads, rows, kept, left, bold))
    gone = [head for place, head in enumerate(heads) if place not in kept]
    if gone:
        say(out, f"no room  for {', '.join(gone)} in {out.width} columns")


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    kept: Sequence[int],
    left: int,
    bold: int,
) -> rich_table.Table:
    """The kept columns; those at the left are names, and one row stands out, if there is one."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for place in kept:
        if place < left:
            table.add_column(escape(heads[place]), overflow="fold")
        else:
            table.add_column(escape(heads[place]), justify="right", no_wrap=True)
    for number, row in enumerate(rows):
        cells = [escape(row[place]) for place in kept]
        table.add_row(*cells, style="bold" if number == bold else None)
    return table
