"""A table as one page of HTML: no network, sortable, for light, dark and print."""

from __future__ import annotations

from html import escape
from importlib import resources
from string import Template

from sm3kit.results.cells import NONE, Column, Number
from sm3kit.results.chart import NAMESPACE
from sm3kit.results.curves import charts
from sm3kit.results.html_table import Caption, Cell, Head, table
from sm3kit.results.sections import Line, Section, Table


def page(table: Table) -> str:
    """The whole page; heads of columns are buttons that sort."""
    return document(table.title, results(table))


def document(title: str, body: str, start: str = "") -> str:
    """A page around a body, with the styles and the script of all pages.

    Args:
        title: as text.
        body: as HTML.
        start: HTML before the title.
    """
    template = resources.files("sm3kit") / "results" / "page.html"
    return Template(template.read_text("utf-8")).substitute(
        title=escape(title), body=body, start=start
    )


def results(table: Table) -> str:
    """All sections of a grid as HTML, with its curves behind the first one."""
    curves = [f"<figure>{svg.replace(NAMESPACE, '')}</figure>" for svg in charts(table).values()]
    drawn = [f'<section class="curves">\n{"".join(curves)}</section>'] if curves else []
    first, *rest = [_section(one) for one in table.sections]
    return "\n".join([first, *drawn, *rest])


def _section(section: Section) -> str:
    heads = [Head("row", "ascending"), Head("seeds")]
    heads += [
        Head(column.head, "ascending" if column.better == "lower" else "descending")
        for column in section.columns
    ]
    heads += [Head(section.published_head)] * bool(section.published_head)
    caption = Caption(section.title, section.basis.sentence(), section.basis.doubtful)
    rows = [_line(section, line) for line in section.lines]
    return f"<section>\n{table(caption, heads, rows, section.notes)}\n</section>"


def _line(section: Section, line: Line) -> list[Cell]:
    cells = [Cell(line.name, line.name), Cell(line.seeds, str(line.done))]
    if line.reason:
        span = max(len(section.columns), 1)
        cells.append(Cell(line.reason, kind="reason", span=span))
    else:
        pairs = zip(section.columns, line.numbers, strict=True)
        cells += [_cell(column, number) for column, number in pairs]
    if section.published_head:
        kind = "" if line.comparable else "other"
        cells.append(Cell(line.published(), _first(line), kind=kind))
    return cells


def _cell(column: Column, number: Number | None) -> Cell:
    if number is None:
        return Cell(NONE)
    below = [column.interval(number)]
    if column.label != "mean" and number.mark and column.metric == "auc":
        below.append(f"paper {number.mark}" if number.comparable else f"[paper {number.mark}]")
    text = column.with_spread(number)
    small = tuple(one for one in below if one)
    return Cell(text, f"{number.mean:.6f}", small, strong=number.best)


def _first(line: Line) -> str:
    """What a click on the head of the published numbers sorts by."""
    try:
        return str(float(line.printed))
    except ValueError:
        return ""
