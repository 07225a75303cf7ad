"""A table in the Markdown of GitHub."""

from __future__ import annotations

import re

from sm3kit.results.cells import Column, Number
from sm3kit.results.sections import Line, Section, Table

# Inside a word an underscore is one; at its edge it would begin something.
SPECIAL = re.compile(r"[\\`*|\[\]~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def markdown(table: Table) -> str:
    """One table for each section, with its basis and its notes."""
    parts = [f"# {escaped(table.title)}", *(_section(one) for one in table.sections)]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return SPECIAL.sub(lambda found: f"\\{found[0]}", plain)


def _section(section: Section) -> str:
    heads = ["row", "seeds", *(column.head for column in section.columns)]
    heads += [section.published_head] * bool(section.published_head)
    rows = [
        [escaped(head) for head in heads],
        ["---", *["---:"] * (len(heads) - 1)],
        *(_line(section, line) for line in section.lines),
    ]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    notes = "\n".join(f"- {escaped(note)}" for note in section.notes)
    return "\n\n".join(
        [f"## {escaped(section.title)}", escaped(section.basis.sentence()), table, notes]
    )


def _line(section: Section, line: Line) -> list[str]:
    pairs = zip(section.columns, line.numbers, strict=True)
    cells = [_cell(column, number) for column, number in pairs]
    if line.reason:
        cells[:1] = [escaped(line.reason)]
    published = [escaped(line.published())] * bool(section.published_head)
    return [escaped(line.name), line.seeds, *cells, *published]


def _cell(column: Column, number: Number | None) -> str:
    text = column.with_spread(number)
    if number and number.best:
        text = f"**{text}**"
    ends = column.interval(number)
    return f"{text} ({ends})" if ends else text
