"""The tables of a grid on a terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from sm3kit.ablation.differences import Difference
    from sm3kit.ablation.sections import Table


def show_table(table: Table, out: Console) -> None:
    """The main sections, with what they rest on."""
    for section in table.main:
        title, basis, *notes = section.told()
        out.print(f"\n{table.title}: {title}", style="bold", highlight=False, markup=False)
        _print(section.shown(), out)
        for line in (basis, *notes):
            out.print(line, highlight=False, markup=False)


def show_differences(rows: Sequence[Difference], out: Console) -> None:
    """What the second of two grids has more than the first."""
    from sm3kit.ablation.differences import shown

    _print(shown(rows), out)
    text = "points of AUC, second minus first; 0 inside the interval: no evidence"
    out.print(text, highlight=False, markup=False)


def _print(lines: Sequence[Sequence[str]], out: Console) -> None:
    """Heads and lines in columns; numbers to the right of names."""
    from rich.markup import escape
    from rich.table import Table as Columns

    heads, *rest = lines
    columns = Columns(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for number, head in enumerate(heads):
        columns.add_column(escape(head), justify="right" if number else "left", overflow="fold")
    for line in rest:
        columns.add_row(*(escape(cell) for cell in line))
    out.print(columns)
