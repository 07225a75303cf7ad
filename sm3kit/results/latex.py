"""A table for LaTeX with booktabs."""

from __future__ import annotations

from sm3kit.results.cells import Column, Number
from sm3kit.results.sections import Line, Section, Table

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
    return "\n\n".join([head, *(_section(table, one) for one in table.sections)]) + "\n"


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is, in one line."""
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(text.split()))


def _section(table: Table, section: Section) -> str:
    heads = ["row", "seeds", *(column.head for column in section.columns)]
    heads += [section.published_head] * bool(section.published_head)
    told = [f"{table.title}: {section.title}", section.basis.sentence(), *section.notes]
    caption = " ".join(escaped(f"{one.rstrip('.')}.") for one in told)
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        r"\small",
        f"\\caption{{{caption}}}",
        f"\\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        r"\toprule",
        " & ".join(escaped(head) for head in heads) + r" \\",
        r"\midrule",
        *(text for line in section.lines for text in _line(section, line)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _line(section: Section, line: Line) -> list[str]:
    """The numbers, and below them in small type the intervals."""
    pairs = list(zip(section.columns, line.numbers, strict=True))
    numbers = [_cell(column, number) for column, number in pairs]
    if line.reason:
        reason = escaped(line.state)
        numbers = [f"\\multicolumn{{{max(len(pairs), 1)}}}{{l}}{{\\textit{{{reason}}}}}"]
    published = [escaped(line.published())] * bool(section.published_head)
    rows = [[escaped(line.name), line.seeds, *numbers, *published]]
    intervals = [column.interval(number) for column, number in pairs]
    if any(intervals):
        small = [f"{{\\scriptsize {_signs(one)}}}" if one else "" for one in intervals]
        rows.append(["", "", *small, *[""] * len(published)])
    return [" & ".join(row) + r" \\" for row in rows]


def _cell(column: Column, number: Number | None) -> str:
    text = _signs(escaped(column.with_spread(number)))
    return f"\\textbf{{{text}}}" if number and number.best else text


def _signs(text: str) -> str:
    """Numbers with a minus that is as wide as the plus."""
    return " ".join(
        f"${word[0]}${word[1:]}" if word[:1] in "+-" and word[1:2].isdigit() else word
        for word in text.split(" ")
    )
