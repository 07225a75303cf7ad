"""A section as plain text of aligned columns, and which of these a terminal has room for."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from sm3kit.results.legend import sentences
from sm3kit.results.section import Section, direction_text

GAP = 2  # Blanks between two columns.
SLACK = 5  # What a head may be wider than the cells below it before it is folded.
LONGEST_NAME = 12  # Longer ones are folded before a number has to go.


def plain(section: Section) -> str:
    """Title, columns and notes; names at the left, numbers at the right of their column."""
    title, *notes = sentences(section)
    return "\n".join([title, *column_lines(section), *notes])


def column_lines(section: Section) -> list[str]:
    """The lines of the columns alone; a head may have several lines."""
    heads, *rows = section.texts()
    heights = [head.count("\n") for head in heads]
    above = [
        ("\n" * (max(heights) - height) + head).split("\n")
        for head, height in zip(heads, heights, strict=True)
    ]
    rows = [*map(list, zip(*above, strict=True)), *rows]
    names = [column.unit == "text" for column in section.columns for _ in column.narrow_heads()]
    widths = [max(len(row[place]) for row in rows) for place in range(len(names))]
    lines, block = [], ""
    for row, line in zip(rows, [*[None] * (max(heights) + 1), *section.every_line], strict=True):
        if line and line.block != block:
            block = line.block
            lines.append(direction_text(block))
        cells = [
            text.ljust(width) if name else text.rjust(width)
            for text, width, name in zip(row, widths, names, strict=True)
        ]
        lines.append((" " * GAP).join(cells).rstrip())
    return lines


def fold_heads(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Heads in lines that are not much wider than their longest word, or than the cells below."""
    widths = [
        max(map(len, [*head.split(), *(row[place] for row in rows)]), default=1)
        for place, head in enumerate(heads)
    ]
    return [
        "\n".join(wrap(head, width + SLACK, break_long_words=False))
        for head, width in zip(heads, widths, strict=True)
    ]


def fit(
    widths: Sequence[int], left: int, order: Sequence[int], room: int, *, whole: bool = False
) -> list[tuple[int, int]]:
    """Place and width of the columns that there is room for; numbers keep their width.

    Args:
        widths: that the columns want.
        left: how many of them are names, which become narrower first.
        order: the others in the order in which they go.
        room: columns of the terminal.
        whole: whether there is more room if all but long names want it, as in a file.
    """
    least = [*(min(width, LONGEST_NAME) for width in widths[:left]), *widths[left:]]
    kept = list(range(len(widths)))
    room = max(room, _room(least, kept)) if whole else room
    for place in order:
        if len(kept) == left + 1 or _room(least, kept) <= room:
            break
        kept.remove(place)
    wanted = list(widths)
    while left and _room(wanted, kept) > room and (longest := max(wanted[:left])) > 1:
        wanted[wanted.index(longest)] -= 1
    return [(place, wanted[place]) for place in kept]


def _room(widths: Sequence[int], kept: Sequence[int]) -> int:
    return sum(widths[place] for place in kept) + GAP * (len(kept) - 1)
