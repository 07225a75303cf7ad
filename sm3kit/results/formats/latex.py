"""A table for LaTeX with booktabs: a short caption, grouped heads, and the notes below."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from textwrap import wrap

from sm3kit.results.legend import legend
from sm3kit.results.section import Cell, Column, Line, Section, direction_text
from sm3kit.results.table import Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "–": "--",
    "…": r"\dots{}",
    "→": r"$\to$",
    # A bracket behind a line break would be its argument.
    "[": "{[}",
    "]": "{]}",
}
# In points: a column and the page of a two-column article, and the room around a cell.
COLUMN, PAGE, GAP = 238.0, 505.0, 8.0
WIDE = re.compile(r"[A-Zmw±%+→@]")
WIDE_LETTER, LETTER, SCRIPT = 7.0, 4.7, 7 / 9  # At 9 points, and the share of a smaller type.
LONGEST_HEAD = 14


def latex(table: Table) -> str:
    """One `table` for each section, or `table*` for one that does not fit a column of 3.3 in.

    A section that is wider than a page is folded: all rows with its first columns, then with the
    next. Widths are estimated for a class of 10 points.
    """
    head = f"% {' '.join(table.title.split())}\n% \\usepackage{{booktabs}}"
    return "\n\n".join([head, *(_section(table, section) for section in table.sections)]) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is, in one line."""
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(text.split()))


def _section(table: Table, section: Section) -> str:
    panels = _panels(section)
    wide = any(sum(_widths(section, panel)) > COLUMN for panel in panels)
    kind = "table*" if wide else "table"
    label = re.sub("[^a-z0-9]+", "-", section.title.lower()).strip("-")
    marks = legend(section, "bold", "in small type")
    basis = [section.basis.sentence()] if section.basis else []
    notes = [sentence for sentence in (marks, *basis, *section.notes) if sentence]
    lines = [
        *(["% Wider than a column: table* spans both."] if wide else []),
        f"\\begin{{{kind}}}[t]",
        r"\centering",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        f"\\caption{{{escape(f'{table.title}: {section.title}')}.}}",
        f"\\label{{tab:{label}}}",
        "\n\\par\\medskip\n".join(_tabular(section, panel) for panel in panels),
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}",
        r"\footnotesize\raggedright",
        "\\par\n".join(escape(f"{note.rstrip('.')}.") for note in notes),
        r"\end{minipage}",
        f"\\end{{{kind}}}",
    ]
    return "\n".join(lines)


def _panels(section: Section) -> list[list[int]]:
    """The places of the columns of each tabular: all, or as few tabulars as fit a page.

    Seeds have a column only where some are missing, directions stand above their block.
    """
    whole = all(line.done == line.wanted for line in section.lines)
    places = [n for n, column in enumerate(section.columns) if column.head != "seeds" or not whole]
    above = _above(section)
    places = [n for n in places if n not in above]
    names = [n for n in places if section.columns[n].unit == "text"]
    rest = [n for n in places if n not in names]
    for count in range(1, len(rest) + 1):
        size = -(-len(rest) // count)
        panels = [[*names, *rest[start : start + size]] for start in range(0, len(rest), size)]
        if all(sum(_widths(section, panel)) <= PAGE for panel in panels):
            return panels
    return [[*names, place] for place in rest] or [names]


def _above(section: Section) -> list[int]:
    """The columns that say the same in all lines of a block, and stand above it instead."""
    if not any(line.block for line in section.lines):
        return []
    return [
        place
        for place, column in enumerate(section.columns)
        if column.unit == "text" or not (column.metric or column.narrow == "published")
        if column.head not in ("row", "seeds")
        if all(len(texts) < 2 for texts in _texts_of_blocks(section, place).values())
    ]


def _texts_of_blocks(section: Section, place: int) -> dict[str, list[str]]:
    """{block: the different texts of a column in it}, but for lines without a number."""
    texts: dict[str, list[str]] = {line.block: [] for line in section.lines}
    for line in section.lines:
        text = line.cells[place].text
        if not line.reason and text not in texts[line.block]:
            texts[line.block].append(text)
    return texts


def _widths(section: Section, panel: Sequence[int]) -> list[float]:
    """The estimated width of each column of a tabular, in points."""
    widths = []
    for place in panel:
        cells = [line.cells[place] for line in section.every_line]
        sizes = [_width(text) for text in _head(section.columns[place])]
        sizes += [_width(_words(cell)) for cell in cells if cell.kind != "reason"]
        sizes += [SCRIPT * _width(text) for cell in cells for text in _below(cell)]
        widths.append(max(sizes) + GAP)
    return widths


def _width(text: str) -> float:
    wide = len(WIDE.findall(text))
    return WIDE_LETTER * wide + LETTER * (len(text) - wide)


def _tabular(section: Section, panel: Sequence[int]) -> str:
    columns = [section.columns[place] for place in panel]
    kinds = "".join("l" if column.unit == "text" else "r" for column in columns)
    lines = [f"\\begin{{tabular}}{{{kinds}}}", r"\toprule", *_groups(columns)]
    heads = [_stack(_head(column)) for column in columns]
    lines += [" & ".join(heads) + r" \\", r"\midrule"]
    shared = _above(section)
    for number, (block, inside) in enumerate(groupby(section.lines, lambda line: line.block)):
        lines += [r"\midrule"] if number else []
        if block:
            above = [(section.columns[n].head, _texts_of_blocks(section, n)[block]) for n in shared]
            facts = [f"{head} {texts[0]}" for head, texts in above if texts and head != "direction"]
            name = escape(", ".join([direction_text(block), *facts]))
            lines.append(f"\\multicolumn{{{len(panel)}}}{{l}}{{\\textit{{{name}}}}} \\\\")
        lines += [text for line in inside for text in _rows(line, panel)]
    lines += [r"\midrule"] if section.foot else []
    lines += [text for line in section.foot for text in _rows(line, panel)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _groups(columns: Sequence[Column]) -> list[str]:
    """The shared heads above a rule each; nothing where there are none."""
    if not any(column.group for column in columns):
        return []
    cells, rules, first = [], [], 1
    for group, members in groupby(columns, lambda column: column.group):
        last = first + len(list(members)) - 1
        cells += (
            [f"\\multicolumn{{{last - first + 1}}}{{c}}{{{escape(group)}}}"]
            if group
            else [""] * (last - first + 1)
        )
        rules += [f"\\cmidrule(lr){{{first}-{last}}}"] if group else []
        first = last + 1
    return [" & ".join(cells) + r" \\", "".join(rules)]


def _head(column: Column) -> list[str]:
    """The lines of a head."""
    return wrap(column.head, LONGEST_HEAD, break_long_words=False) or [""]


def _stack(lines: Sequence[str]) -> str:
    texts = [escape(line) for line in lines]
    stacked = r"\\".join(texts)
    return stacked if len(texts) == 1 else f"\\shortstack[r]{{{stacked}}}"


def _rows(line: Line, panel: Sequence[int]) -> list[str]:
    """The numbers, and below them in small type the intervals and the published numbers."""
    texts: list[str] = []
    joined = 0
    cells = [line.cells[place] for place in panel]
    for number, cell in enumerate(cells):
        if joined:
            joined -= 1
            continue
        if cell.kind == "reason":
            span = sum(place < panel[number] + cell.span for place in panel[number:])
            texts.append(f"\\multicolumn{{{span}}}{{l}}{{\\textit{{{escape(cell.short)}}}}}")
            joined = span - 1
        else:
            texts.append(_text(cell))
    below = [_below(cell) for cell in cells]
    rows = [texts]
    for number in range(max(map(len, below))):
        small = [texts[number] if number < len(texts) else "" for texts in below]
        rows.append([f"{{\\scriptsize {_signs(escape(text))}}}" if text else "" for text in small])
    return [" & ".join(row) + r" \\" for row in rows]


def _words(cell: Cell) -> str:
    """The text of a cell; what is wrong in a printed number stands in a note."""
    return cell.short if "(" in cell.text and cell.short and not cell.number else cell.text


def _below(cell: Cell) -> list[str]:
    """The small lines below a cell."""
    return [*([cell.interval()] if cell.ends else []), *cell.small]


def _text(cell: Cell) -> str:
    text = escape(_words(cell))
    if cell.number:
        text = _signs(text)
    return f"\\textbf{{{text}}}" if cell.best else text


def _signs(text: str) -> str:
    """Numbers with a minus that is as wide as the plus."""
    return " ".join(
        f"${word[0]}${word[1:]}" if word[:1] in "+-" and word[1:2].isdigit() else word
        for word in text.split(" ")
    )
