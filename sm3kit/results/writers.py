"""Every file that is made of a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sm3kit.core.files import whole_file
from sm3kit.results.curves import charts, file_name
from sm3kit.results.html_page import page
from sm3kit.results.latex import latex
from sm3kit.results.markdown import markdown
from sm3kit.results.sections import Table
from sm3kit.results.tidy import tidy


def write_all(table: Table, folder: Path) -> list[Path]:
    """Writes table.csv, table.md, table.tex, table.html and curve-<axis>.svg.

    Equal tables give equal bytes. Files of an earlier table are replaced.

    Returns:
        The files.

    Raises:
        SM3Error: the disk is full or the folder cannot be written.
    """
    written = []
    for name, text in _files(table):
        path = Path(folder) / name
        with whole_file(path) as part:
            part.write_bytes(text.encode("utf-8"))
        written.append(path)
    return written


def _files(table: Table) -> Iterator[tuple[str, str]]:
    yield "table.csv", tidy(table)
    yield "table.md", markdown(table)
    yield "table.tex", latex(table)
    yield "table.html", page(table)
    for axis, svg in charts(table).items():
        yield file_name(axis), svg
