"""Every file that is made of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sm3kit.core.files import whole_file
from sm3kit.results.formats.latex import latex
from sm3kit.results.formats.markdown import markdown
from sm3kit.results.formats.tidy import tidy
from sm3kit.results.html import page
from sm3kit.results.table import Table

if TYPE_CHECKING:
    from sm3kit.results.picture import Rendering


def write_all(table: Table, folder: Path) -> list[Path]:
    """Writes table.csv, table.md, table.tex, table.html and curve-<axis>.svg.

    Equal tables give equal bytes. Files of an earlier table are replaced.

    Returns:
        The files.

    Raises:
        SM3Error: the disk is full or the folder cannot be written.
    """
    curves = _curves(table)
    texts = {
        "table.csv": tidy(table),
        "table.md": markdown(table),
        "table.tex": latex(table),
        "table.html": page(table, curves),
    }
    contents = {name: text.encode("utf-8") for name, text in texts.items()}
    contents |= {picture.file_name("svg"): picture.svg for picture in curves}
    for name, content in contents.items():
        with whole_file(Path(folder) / name) as part:
            part.write_bytes(content)
    return [Path(folder) / name for name in contents]


def _curves(table: Table) -> list[Rendering]:
    """The charts of a table with axes; without any, matplotlib is not imported."""
    if not table.axes:
        return []
    from sm3kit.results.curves import charts

    return [picture.render() for picture in charts(table).values()]
