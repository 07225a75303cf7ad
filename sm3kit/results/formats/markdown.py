"""A table in the Markdown of GitHub."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sm3kit.results.legend import legend
from sm3kit.results.section import Cell, Section
from sm3kit.results.table import Table

# Inside a word an underscore is one; at its edge it would begin something.
SPECIAL = re.compile(r"[\\`*|\[\]~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def markdown(table: Table) -> str:
    """One table for each section, with its basis and its notes."""
    parts = [f"# {escape(table.title)}", *(_section(section) for section in table.sections)]
    return "\n\n".join(parts) + "\n"


def table_text(section: Section, heads: Sequence[str] = ()) -> str:
    """The bare table of a section: all columns, or those with the given heads."""
    places = [
        place for place, column in enumerate(section.columns) if not heads or column.head in heads
    ]
    columns = [section.columns[place] for place in places]
    rows = [
        [escape(column.head) for column in columns],
        ["---" if column.unit == "text" else "---:" for column in columns],
    ]
    for line in section.every_line:
        rows.append([_text(line.cells[place]) for place in places])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return SPECIAL.sub(lambda match: f"\\{match[0]}", plain)


def _section(section: Section) -> str:
    sentences = [legend(section, "bold", "in parentheses"), *section.notes]
    notes = "\n".join(f"- {escape(sentence)}" for sentence in sentences if sentence)
    basis = [escape(section.basis.sentence())] if section.basis else []
    return "\n\n".join([f"## {escape(section.title)}", *basis, table_text(section), notes])


def _text(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else escape(cell.text)
    interval = f" ({cell.interval()})" if cell.ends else ""
    return "".join([text, interval, *(f"; {escape(small)}" for small in cell.small)])
