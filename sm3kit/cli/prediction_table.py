"""Predictions as tables for a terminal of 60 columns and more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 20  # Rows of a table of many studies.


def show(record: dict[str, Any], out: Console) -> None:
    """The classifiers, one study in full or many in brief, and what could not be read."""
    for one in record["classifiers"]:
        chosen = ", ".join(f"{name} {value}" for name, value in one["chosen"].items())
        _say(out, f"model    {one['run']}, {one['protocol']}, {one['select']}: {chosen}")
    for note in record["notes"]:
        out.print(f"note     {note}", style="yellow", highlight=False, markup=False)
    studies = record["studies"]
    if len(studies) == 1:
        _show_one(record, studies[0], out)
    elif studies:
        _show_many(record, out)
    for word in ("saliency", "csv"):
        written = record.get(word, [])
        for path in [written] if isinstance(written, str) else written[:SHOWN]:
            _say(out, f"written  {path}")
        if isinstance(written, list) and len(written) > SHOWN:
            _say(out, f"         and {len(written) - SHOWN} more")
    for one in record["unreadable"]:
        out.print(
            f"left out {one['id']}: {one['error']}", style="red", highlight=False, markup=False
        )
    if record["unreadable"]:
        every = len(studies) + len(record["unreadable"])
        _say(out, f"{len(record['unreadable'])} of {every} studies could not be read")
    out.print(record["statement"], style="bold", highlight=False, markup=False)


def _show_one(record: dict[str, Any], study: dict[str, Any], out: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    looked = ", ".join(f"{name} {path}" for name, path in study["images"].items())
    _say(out, f"study    {study['id']}: {looked}")
    if study["missing"]:
        _say(out, f"missing  {', '.join(study['missing'])}: predicted without")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("label", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("%", justify="right", no_wrap=True)
    table.add_column("all classes, in %", overflow="fold")
    for name, row in study["probabilities"].items():
        decided = study["decisions"][name]
        every = "  ".join(f"{one} {100 * value:.1f}" for one, value in row.items())
        table.add_row(escape(name), escape(decided), f"{100 * row[decided]:.1f}", escape(every))
    out.print(table)
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


def _show_many(record: dict[str, Any], out: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    studies, labels = record["studies"], record["labels"]
    shown = studies[:SHOWN]
    wide = max(len(one["id"]) for one in shown)
    heads = [max(len(name), _width(one), 5) + 1 for name, one in labels.items()]
    room = out.width - min(wide, 16) - (5 if "checklist" in record else 0) - 1
    fitting = sum(sum(heads[: place + 1]) <= room for place in range(len(heads))) or 1
    names = list(labels)[:fitting]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("id", overflow="fold", max_width=16)
    for name in names:
        head = f"{escape(name)}\n{escape(labels[name]['reported'] or 'likeliest')}"
        table.add_column(head, justify="right", overflow="fold")
    if "checklist" in record:
        table.add_column("7pt", justify="right", no_wrap=True)
    for one in shown:
        cells = [_cell(one, name, labels[name]["reported"]) for name in names]
        if "checklist" in record:
            points = one["seven_point"]
            cells.append(f"{points['score']}{'!' if points['suspicious'] else ''}")
        table.add_row(escape(one["id"]) + ("*" if one["missing"] else ""), *cells)
    out.print(table)
    more = [f"{len(studies) - SHOWN} more studies"] if len(studies) > SHOWN else []
    more += [f"{len(labels) - fitting} more labels"] if len(labels) > fitting else []
    if more:
        _say(out, f"and {' and '.join(more)}: see --csv FILE or --json")
    _say(out, "probability of the reported class, or of the most likely one, in %")
    if any(one["missing"] for one in shown):
        _say(out, "* an image is missing: predicted without")
    if "checklist" in record:
        _say(out, f"! suspicious by the {record['checklist']}")


def _cell(study: dict[str, Any], label: str, reported: str | None) -> str:
    """The probability of the reported class; without one, the most likely class and its own."""
    from rich.markup import escape

    decided = study["decisions"][label]
    value = 100 * study["probabilities"][label][reported or decided]
    return f"{value:.1f}" if reported else f"{escape(decided)} {value:.1f}"


def _width(label: dict[str, Any]) -> int:
    """The width that a column of `_cell` wants."""
    return len(label["reported"] or max(label["classes"], key=len) + " 100.0")


def _say(out: Console, text: str) -> None:
    out.print(text, highlight=False, markup=False)
