"""What the marks and short heads of a table mean, of those that are in it."""

from __future__ import annotations

from sm3kit.results.section import BEST, NONE, WRONG, Section

OTHER = "published for other data, split, protocol or settings, not comparable"


def sentences(section: Section) -> list[str]:
    """What belongs around `Section.texts`: its title, the legend, the basis, then the notes."""
    label = next((column.label for column in section.columns if column.metric), "")
    title = section.title if label in ("", "mean") else f"{section.title}, {label}"
    basis = section.basis.sentence() if section.basis else ""
    return [title, *filter(None, (terminal_legend(section), basis)), *section.notes]


def terminal_legend(section: Section) -> str:
    """The legend of `Section.texts`."""
    return legend(section, BEST, "in parentheses", narrow=True)


def legend(section: Section, best: str, interval: str, *, narrow: bool = False) -> str:
    """What the marks of the table mean, of those that are in it; empty if none is.

    Args:
        best: how the best is marked, such as "bold".
        interval: where the intervals stand, such as "in small type"; of a narrow terminal
            those that have no column of their own.
        narrow: whether only the columns of a narrow terminal count.
    """
    shown = [place for place, column in enumerate(section.columns) if column.narrow or not narrow]
    pairs = [(section.columns[n], line.cells[n]) for line in section.every_line for n in shown]
    # Names may hold any letter.
    pairs = [(column, cell) for column, cell in pairs if column.unit != "text"]
    texts = [
        text
        for column, cell in pairs
        for text in (column.narrow_texts(cell) if narrow else (cell.text, *cell.small))
    ]
    inside = [cell for column, cell in pairs if not narrow or column.interval == "inside"]
    short = {
        f"{column.narrow}: {column.head}": f" {column.narrow} " not in f" {column.head} "
        for column in section.columns
        if narrow and column.narrow and column.narrow != column.head
    }
    marks = short | {
        f"{best}: {_best(section)}": any(cell.best for _, cell in pairs),
        "±: standard deviation over seeds": any("±" in text for text in texts),
        f"{interval}: 95 % interval": any(cell.ends for cell in inside),
        f"[ ]: {OTHER}": any(text.startswith("[") for text in texts),
        f"{WRONG}: printed with an error, see below": any(WRONG in text for text in texts),
        f"{NONE}: no value": NONE in texts,
    }
    return "; ".join(meaning for meaning, used in marks.items() if used)


def _best(section: Section) -> str:
    """What it takes to be marked as the best."""
    place = "column and direction" if any(line.block for line in section.lines) else "column"
    rules = ["at chance level"]
    if any(cell.ends for line in section.lines for cell in line.cells):
        rules.append("without a 95 % interval")
    if section.baseline and section.part in ("means", "labels"):
        rules.append(f"where that of the difference to {section.baseline} includes 0")
    return f"best of its {place} (not marked {', or '.join(rules)})"
