"""Tables on a terminal, whole on a narrow one: columns go, never parts of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sm3kit.cli.settings import say

if TYPE_CHECKING:
    from rich.console import Console

    from sm3kit.results.differences import Difference
    from sm3kit.results.section import Section
    from sm3kit.results.table import Table

SHOWN = 20  # Rows of a table of many studies.
MOST_LIKELY = "most likely"  # The head of a label without a reported class.


def show_table(table: Table, out: Console) -> None:
    """The main sections of a grid, with what they rest on."""
    for section in table.main:
        out.print()
        say(out, f"{table.title}: {section.title}", style="bold")
        show_section(section, out)
        show_notes(section, out)


def show_notes(section: Section, out: Console) -> None:
    """What the marks of a section mean, what it rests on, and its notes."""
    from sm3kit.results.legend import terminal_legend

    words = {"marks": [terminal_legend(section)], "basis": [], "note": section.notes}
    if section.basis:
        words["basis"] = [section.basis.sentence()]
    for word, sentences in words.items():
        for sentence in filter(None, sentences):
            say(out, f"{word:8} {sentence}")


def show_differences(rows: Sequence[Difference], out: Console) -> None:
    """What the second of two grids has more than the first."""
    from sm3kit.results.differences import difference_section

    section = difference_section(rows)
    show_section(section, out)
    show_notes(section, out)


def show_section(section: Section, out: Console, *, least: Sequence[str] = ()) -> None:
    """Prints a section, and says which columns a terminal has no room for.

    A file has room for all, and no more than a usual terminal for long names.

    Args:
        section: the columns at its left that hold text are names, which are folded.
        out: where to.
        least: heads of columns that go first, in this order; then the last ones go.
    """
    from rich.cells import cell_len

    from sm3kit.results.formats.plain import fit, fold_heads

    heads, *rows = section.texts()
    left = section.narrow_names()
    order = [heads.index(head) for head in least if head in heads]
    order += [place for place in reversed(range(left, len(heads))) if place not in order]
    texts = [fold_heads(heads, rows), *rows]
    widths = [
        max(cell_len(line) for text in column for line in text.split("\n"))
        for column in zip(*texts, strict=True)
    ]
    before = out.width
    kept = fit(widths, left, order, before, whole=not out.is_terminal)
    out.width = max(before, sum(width + 2 for _, width in kept))
    _print_blocks(section, texts, kept, left, out)
    out.width = before
    places = [place for place, _ in kept]
    gone = [head for place, head in enumerate(heads) if place not in places]
    if gone:
        say(out, f"no room  for {', '.join(gone)} in {out.width} columns")


def _print_blocks(
    section: Section,
    texts: Sequence[Sequence[str]],
    kept: Sequence[tuple[int, int]],
    left: int,
    out: Console,
) -> None:
    """The rows below their heads, those of a block below its name.

    Args:
        texts: heads, then rows.
        kept: place and width of the columns that there is room for.
        left: how many columns at the left are names.
    """
    from itertools import groupby

    from rich.table import Table

    from sm3kit.results.section import direction_text

    heads, *rows = texts
    mean = len(section.lines)  # The first line of the foot stands out.
    lines = enumerate(zip(section.every_line, rows, strict=True))
    for number, (block, inside) in enumerate(groupby(lines, lambda entry: entry[1][0].block)):
        table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
        table.show_header = number == 0
        for place, width in kept:
            table.add_column(heads[place], overflow="fold", width=width)
            table.columns[-1].justify = "left" if place < left else "right"
        for place_of_line, (_, row) in inside:
            style = "bold" if place_of_line == mean else None
            table.add_row(*(row[place] for place, _ in kept), style=style)
        if block:
            say(out, direction_text(block), style="italic")
        out.print(table)


def show_predictions(record: dict[str, Any], out: Console) -> None:
    """The classifiers, one study in full or many in brief, and what could not be read."""
    for classifier in record["classifiers"]:
        chosen = ", ".join(f"{name} {value}" for name, value in classifier["chosen"].items())
        _say(
            out,
            f"model    {classifier['run']}, {classifier['protocol']}, {classifier['select']}: {chosen}",
        )
    for note in record["notes"]:
        out.print(f"note     {note}", style="yellow")
    studies = record["studies"]
    if len(studies) == 1:
        _show_study(record, studies[0], out)
    elif studies:
        _show_studies(record, out)
    for word in ("saliency", "csv"):
        written = record.get(word, [])
        for path in [written] if isinstance(written, str) else written[:SHOWN]:
            _say(out, f"written  {path}")
        if isinstance(written, list) and len(written) > SHOWN:
            _say(out, f"         and {len(written) - SHOWN} more")
    for study in record["unreadable"]:
        out.print(f"left out {study['id']}: {study['error']}", style="red")
    if record["unreadable"]:
        every = len(studies) + len(record["unreadable"])
        _say(out, f"{len(record['unreadable'])} of {every} studies could not be read")
    out.print(record["statement"], style="bold")


def _show_study(record: dict[str, Any], study: dict[str, Any], out: Console) -> None:
    from rich.table import Table

    looked = ", ".join(f"{name} {path}" for name, path in study["images"].items())
    _say(out, f"study    {study['id']}: {looked}")
    if study["missing"]:
        _say(out, f"missing  {', '.join(study['missing'])}: predicted without it")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("label", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("%", justify="right", no_wrap=True)
    table.add_column("all classes, in %", overflow="fold")
    for name, row in study["probabilities"].items():
        decided = study["decisions"][name]
        every = "  ".join(f"{class_name} {100 * value:.1f}" for class_name, value in row.items())
        table.add_row(name, decided, f"{100 * row[decided]:.1f}", every)
    out.print(table)
    if "called" in study:
        from sm3kit.results.prediction_table import called_text

        _say(out, f"called   {called_text(study)}, by thresholds")
    points = study.get("seven_point")
    if points:
        named = f" ({', '.join(points['criteria'])})" if points["criteria"] else ""
        verdict = "suspicious" if points["suspicious"] else "below 3"
        _say(
            out,
            f"7-point  {points['score']} of 10, {verdict}{named}; expected "
            f"{points['expected']:.1f}",
        )
        _say(out, f"         {record['checklist']}")


def _show_studies(record: dict[str, Any], out: Console) -> None:
    from rich.table import Table

    studies, labels = record["studies"], record["labels"]
    shown = studies[:SHOWN]
    study_names = [study["id"] + ("*" if study["missing"] else "") for study in shown]
    wide = min(max(map(len, study_names)), 16)
    heads = [max(len(name), _label_width(label), 5) + 1 for name, label in labels.items()]
    room = out.width - wide - (5 if "checklist" in record else 0) - 1
    fitting = sum(sum(heads[: place + 1]) <= room for place in range(len(heads))) or 1
    names = list(labels)[:fitting]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("id", overflow="fold", min_width=wide, max_width=16)
    for name in names:
        head = f"{name}\n{labels[name]['reported'] or MOST_LIKELY}"
        table.add_column(head, justify="right", overflow="fold")
    if "checklist" in record:
        table.add_column("7pt", justify="right", no_wrap=True)
    for study_name, study in zip(study_names, shown, strict=True):
        cells = [_probability(study, name, labels[name]["reported"]) for name in names]
        if "checklist" in record:
            points = study["seven_point"]
            cells.append(f"{points['score']}{'!' if points['suspicious'] else ''}")
        table.add_row(study_name, *cells)
    out.print(table)
    more = [f"{len(studies) - SHOWN} more studies"] if len(studies) > SHOWN else []
    more += [f"{len(labels) - fitting} more labels"] if len(labels) > fitting else []
    if more:
        _say(out, f"and {' and '.join(more)}: see --csv FILE or --json")
    _say(out, "probability of the reported class, or of the most likely one, in %")
    if "thresholds" in record:
        _say(out, "+ reaches its threshold")
    if any(study["missing"] for study in shown):
        _say(out, "* an image is missing: predicted without it")
    if "checklist" in record:
        _say(out, f"! suspicious by the {record['checklist']}")


def _probability(study: dict[str, Any], label: str, reported: str | None) -> str:
    """The probability of the reported class; without one, the most likely class and its own."""
    decided = study["decisions"][label]
    value = 100 * study["probabilities"][label][reported or decided]
    mark = "+" if (reported or decided) in study.get("called", {}).get(label, ()) else ""
    return f"{value:.1f}{mark}" if reported else f"{decided} {value:.1f}{mark}"


def _label_width(label: dict[str, Any]) -> int:
    """The width of a column of `_probability`, with its head."""
    longest = max(label["classes"], key=len) + " 100.0"
    return len(label["reported"] or max(longest, MOST_LIKELY, key=len))


def _say(out: Console, text: str) -> None:
    out.print(text)
