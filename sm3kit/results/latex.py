"""A table for LaTeX with booktabs."""

from __future__ import annotations

from sm3kit.results.section import Cell, Line, Section
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


def latex(table: Table) -> str:
    """One `table` for each section; it wants the package booktabs alone."""
    head = f"% {' '.join(table.title.split())}\n% \\usepackage{{booktabs}}"
    return "\n\n".join([head, *(_section(table, section) for section in table.sections)]) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is, in one line."""
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(text.split()))


def _section(table: Table, section: Section) -> str:
    basis = [section.basis.sentence()] if section.basis else []
    sentences = [f"{table.title}: {section.title}", *basis, *section.notes]
    caption = " ".join(escape(f"{sentence.rstrip('.')}.") for sentence in sentences)
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        r"\small",
        f"\\caption{{{caption}}}",
        f"\\begin{{tabular}}{{l{'r' * (len(section.columns) - 1)}}}",
        r"\toprule",
        " & ".join(escape(column.head) for column in section.columns) + r" \\",
        r"\midrule",
        *(text for line in (*section.lines, *section.foot) for text in _rows(line)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _rows(line: Line) -> list[str]:
    """The numbers, and below them in small type the intervals."""
    cells, texts = list(line.cells), []
    while cells:
        texts.append(_text(cells[0]))
        del cells[: cells[0].span]
    rows = [texts]
    intervals = [cell.interval() for cell in line.cells]
    if any(intervals):
        rows.append([f"{{\\scriptsize {_signs(ends)}}}" if ends else "" for ends in intervals])
    return [" & ".join(row) + r" \\" for row in rows]


def _text(cell: Cell) -> str:
    if cell.kind == "reason":
        return f"\\multicolumn{{{cell.span}}}{{l}}{{\\textit{{{escape(cell.short)}}}}}"
    text = escape(cell.text)
    if cell.number:
        text = _signs(text)
    return f"\\textbf{{{text}}}" if cell.best else text


def _signs(text: str) -> str:
    """Numbers with a minus that is as wide as the plus."""
    return " ".join(
        f"${word[0]}${word[1:]}" if word[:1] in "+-" and word[1:2].isdigit() else word
        for word in text.split(" ")
    )
