"""The tables of a grid on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sm3kit.cli.columns import DIFFERENCE, show_columns
from sm3kit.cli.settings import say

if TYPE_CHECKING:
    from rich.console import Console

    from sm3kit.results.differences import Difference
    from sm3kit.results.sections import Table


def show_table(table: Table, out: Console) -> None:
    """The main sections, with what they rest on."""
    for section in table.main:
        title, basis, *notes = section.told()
        say(out, f"\n{table.title}: {title}", style="bold")
        heads, *rows = section.shown()
        show_columns(out, heads, rows)
        for line in (basis, *notes):
            say(out, line)


def show_differences(rows: Sequence[Difference], out: Console) -> None:
    """What the second of two grids has more than the first."""
    from sm3kit.results.differences import shown

    heads, *lines = shown(rows)
    show_columns(out, heads, lines)
    say(out, DIFFERENCE)
