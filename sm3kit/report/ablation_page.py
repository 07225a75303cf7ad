"""The page of a grid: its tables and curves, and each row with its runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from sm3kit.core.errors import SM3Error
from sm3kit.grids.folder import Folder
from sm3kit.grids.plan import Replicate
from sm3kit.grids.standing import collect
from sm3kit.report.repeating import Command, pretraining
from sm3kit.report.run_page import SKIP, command, facts, page_body
from sm3kit.results.html_page import document, results
from sm3kit.results.results import GridResults, RowResults
from sm3kit.results.table import tabulate
from sm3kit.runs.run import Run


def ablation_page(folder: Path, out: Path) -> str:
    """The whole page as HTML.

    Args:
        folder: of the grid.
        out: the file that the page will be, for its links to the pages of runs.

    Raises:
        SM3Error: there is no grid.
    """
    found = collect(folder)
    home = Folder(folder)
    parts = [
        ("grid", "What was compared", _facts(found, home)),
        ("results", "Results", results(tabulate(found))),
        ("rows", "Rows and their runs", _rows(found, home, out)),
        ("repeat", "How to repeat it", _repeat(home)),
    ]
    return document(f"sm3kit: {found.title}", page_body(parts, []), SKIP)


def run_of(home: Folder, replicate: Replicate) -> Path | None:
    """The run folder that the evaluations of a replicate are about; None if it has not begun."""
    plan = home.plan()
    for key in replicate.results.values():
        for task in reversed(plan.chain(key)):
            if plan.tasks[task].trains:
                folder = home.run(task)
                return folder if Run(folder).exists else None
    return None


def _facts(found: GridResults, home: Folder) -> str:
    done = sum(len(one) for row in found.rows for one in row.records.values())
    wanted = len(found.rows) * len(found.seeds) * len(found.protocols)
    return facts(
        {
            "folder": str(home.path),
            "data": ", ".join(found.data),
            "rows": ", ".join(row.name for row in found.rows),
            "seeds": ", ".join(map(str, found.seeds)),
            "protocols": ", ".join(found.protocols),
            "measured on": f"split {found.split}, select {found.select}",
            "compared with": found.baseline,
            "state": f"{done} of {wanted} results"
            + ("" if done == wanted else f"; go on with: {home.resume_command}"),
        }
    )


def _rows(found: GridResults, home: Folder, out: Path) -> str:
    plan = home.plan()
    return "\n".join(
        _row(row, [x for x in plan.replicates if x.row == row.name], home, out)
        for row in found.rows
    )


def _row(row: RowResults, replicates: Sequence[Replicate], home: Folder, out: Path) -> str:
    """The runs of a row, with links to their pages, and the command that trains its first one."""
    lines = [f"<section><h3>{escape(row.name)}</h3>"]
    if row.recipes:
        lines.append(f"<p>recipe {escape(', '.join(row.recipes))}</p>")
    lines.append("<ul>")
    first = None
    for replicate in replicates:
        folder = run_of(home, replicate)
        if folder is None:
            lines.append(f"<li>seed {replicate.seed}: not begun</li>")
            continue
        first = first or folder
        page = folder / "report.html"
        link = quote(Path(os.path.relpath(page, out.parent)).as_posix())
        shown = f"<code>{escape(str(folder))}</code>"
        if page.is_file():
            shown = f'<a href="{link}">{shown}</a>'
        else:
            shown += f"; its page: <code>sm3kit report {escape(str(folder))}</code>"
        lines.append(f"<li>seed {replicate.seed}: {shown}</li>")
    lines.append("</ul>")
    if first:
        try:
            lines.append(command(pretraining(Run(first).read_variant()[0])))
        except SM3Error as error:
            lines.append(f"<p>{escape(str(error))}</p>")
    return "\n".join([*lines, "</section>"])


def _repeat(home: Folder) -> str:
    told = (
        "<p>The same command goes on with a grid that was stopped; what is done is not done again. "
        "For a fresh start take another --out and the grid as it was resolved, in "
        f"<code>{escape(str(home.record_file))}</code>.</p>"
    )
    again = Command(("sm3kit", "ablate", "--out", str(home.path)))
    return told + command(again) + command(Command(("sm3kit", "report", str(home.path))))
