"""A section as plain text of aligned columns."""

from __future__ import annotations

from sm3kit.results.section import Section


def plain(section: Section) -> str:
    """Title, columns and notes; names at the left, numbers at the right of their column."""
    title, *notes = section.sentences()
    rows = section.texts()
    names = [column.unit == "text" for column in section.columns for _ in column.narrow_heads()]
    widths = [max(len(row[place]) for row in rows) for place in range(len(names))]
    lines = [
        "  ".join(
            text.ljust(width) if name else text.rjust(width)
            for text, width, name in zip(row, widths, names, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([title, *lines, *notes])
