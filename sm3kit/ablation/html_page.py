"""A table as one page of HTML: no network, sortable, for light, dark and print."""

from __future__ import annotations

from html import escape
from importlib import resources
from string import Template

from sm3kit.ablation.cells import NONE, Column, Number
from sm3kit.ablation.chart import NAMESPACE
from sm3kit.ablation.curves import charts
from sm3kit.ablation.sections import Line, Section, Table


def page(table: Table) -> str:
    """The whole page; heads of columns are buttons that sort."""
    curves = [f"<figure>{svg.replace(NAMESPACE, '')}</figure>" for svg in charts(table).values()]
    drawn = [f'<section class="curves">\n{"".join(curves)}</section>'] if curves else []
    body = "\n".join([_section(one) for one in table.sections[:1]] + drawn)
    body += "\n" + "\n".join(_section(one) for one in table.sections[1:])
    template = resources.files("sm3kit") / "ablation" / "page.html"
    return Template(template.read_text("utf-8")).substitute(title=escape(table.title), body=body)


def _section(section: Section) -> str:
    heads = [("row", "ascending"), ("seeds", "descending")]
    heads += [
        (column.head, "ascending" if column.better == "lower" else "descending")
        for column in section.columns
    ]
    heads += [(section.published_head, "descending")] * bool(section.published_head)
    basis = section.basis
    leaky = ' class="leaky"' if basis.leaky else ""
    lines = [
        "<section>",
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(section.title)}">',
        "<table>",
        f"<caption><strong>{escape(section.title)}</strong>"
        f"<span{leaky}>{escape(basis.sentence())}</span></caption>",
        f"<thead><tr>{''.join(_head(*one) for one in heads)}</tr></thead>",
        "<tbody>",
        *(_line(section, line) for line in section.lines),
        "</tbody>",
        "</table>",
        "</div>",
        "<ul>",
        *(f"<li>{escape(note)}</li>" for note in section.notes),
        "</ul>",
        "</section>",
    ]
    return "\n".join(lines)


def _head(text: str, first: str) -> str:
    """A head that sorts, at its first click in the order that puts the best on top."""
    return (
        f'<th scope="col" data-first="{first}"><button type="button">{escape(text)}</button></th>'
    )


def _line(section: Section, line: Line) -> str:
    cells = [
        f'<th scope="row" data-value="{escape(line.name)}">{escape(line.name)}</th>',
        f'<td data-value="{line.done}">{line.seeds}</td>',
    ]
    if line.reason:
        cells.append(
            f'<td class="reason" colspan="{max(len(section.columns), 1)}">{escape(line.reason)}</td>'
        )
        # Hidden cells keep the places of the columns for sorting.
        cells += ["<td hidden></td>"] * (len(section.columns) - 1)
    else:
        pairs = zip(section.columns, line.numbers, strict=True)
        cells += [_cell(column, number) for column, number in pairs]
    if section.published_head:
        kind = "" if line.comparable else ' class="other"'
        cells.append(f'<td{kind} data-value="{_first(line)}">{escape(line.published())}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _cell(column: Column, number: Number | None) -> str:
    if number is None:
        return f"<td>{NONE}</td>"
    text = escape(column.with_spread(number))
    if number.best:
        text = f"<strong>{text}</strong>"
    below = [column.interval(number)]
    if column.label != "mean" and number.mark and column.metric == "auc":
        below.append(f"paper {number.mark}" if number.comparable else f"[paper {number.mark}]")
    small = "".join(f"<small>{escape(one)}</small>" for one in below if one)
    return f'<td data-value="{number.mean:.6f}">{text}{small}</td>'


def _first(line: Line) -> str:
    """What a click on the head of the published numbers sorts by."""
    try:
        return str(float(line.printed))
    except ValueError:
        return ""
