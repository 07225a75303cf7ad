"""One table of HTML: a caption that says its basis, heads that sort, notes below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Head:
    """The head of a column.

    Attributes:
        text: as shown.
        first: the order of the first click, which puts the best on top.
        kind: CSS class.
    """

    text: str
    first: str = "descending"
    kind: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: as shown.
        value: what is sorted by, as text; None for a cell that stays below.
        below: smaller lines below the text.
        strong: whether it is the best of its column.
        kind: CSS class.
        span: columns that it takes.
    """

    text: str
    value: str | None = None
    below: tuple[str, ...] = ()
    strong: bool = False
    kind: str = ""
    span: int = 1


@dataclass(frozen=True)
class Caption:
    """What stands above a table.

    Attributes:
        title: of the table.
        basis: selection rule, split, seeds and support; no table of results goes without.
        leaky: whether numbers may be better, or others, than they should be; the basis says why.
    """

    title: str
    basis: str
    leaky: bool = False


def table(
    caption: Caption,
    heads: Sequence[Head],
    rows: Sequence[Sequence[Cell]],
    notes: Sequence[str] = (),
    foot: Sequence[Sequence[Cell]] = (),
) -> str:
    """A table in a region that scrolls sideways where it does not fit.

    Args:
        caption: above it.
        heads: one for each column.
        rows: the first cell of each is the head of the row.
        notes: sentences below.
        foot: rows that are not sorted.
    """
    mark = ' class="leaky"' if caption.leaky else ""
    lines = [
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption.title)}">',
        "<table>",
        f"<caption><strong>{escape(caption.title)}</strong>"
        f"<span{mark}>{escape(caption.basis)}</span></caption>",
        f"<thead><tr>{''.join(map(_head, heads))}</tr></thead>",
        "<tbody>",
        *map(_row, rows),
        "</tbody>",
        *(["<tfoot>", *map(_row, foot), "</tfoot>"] if foot else []),
        "</table>",
        "</div>",
    ]
    if notes:
        lines += ["<ul>", *(f"<li>{escape(note)}</li>" for note in notes), "</ul>"]
    return "\n".join(lines)


def _head(head: Head) -> str:
    kind = f' class="{head.kind}"' if head.kind else ""
    return (
        f'<th scope="col"{kind} data-first="{head.first}"><button type="button">{escape(head.text)}'
        "</button></th>"
    )


def _row(cells: Sequence[Cell]) -> str:
    first, *rest = cells
    head = _cell(first, "th", ' scope="row"')
    return f"<tr>{head}{''.join(map(_cell, rest))}</tr>"


def _cell(cell: Cell, tag: str = "td", more: str = "") -> str:
    if cell.kind:
        more += f' class="{cell.kind}"'
    if cell.span > 1:
        more += f' colspan="{cell.span}"'
    if cell.value is not None:
        more += f' data-value="{escape(cell.value)}"'
    text = f"<strong>{escape(cell.text)}</strong>" if cell.strong else escape(cell.text)
    small = "".join(f"<small>{escape(one)}</small>" for one in cell.below)
    # Hidden cells keep the places of the columns for sorting.
    hidden = "<td hidden></td>" * (cell.span - 1)
    return f"<{tag}{more}>{text}{small}</{tag}>{hidden}"
