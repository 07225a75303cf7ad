"""The page of a grid: its tables and curves, and each row with its runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sm3kit.core.errors import SM3Error
from sm3kit.grids.folder import Folder
from sm3kit.grids.plan import Replicate
from sm3kit.grids.standing import collect
from sm3kit.report.repeating import Command, pretraining
from sm3kit.report.run_page import STATEMENT
from sm3kit.results.curves import charts
from sm3kit.results.grid_table import tabulate
from sm3kit.results.html import render
from sm3kit.results.measurement import GridResults, RowResults
from sm3kit.results.picture import Rendering
from sm3kit.runs.folder import RunFolder

CONTENTS = {
    "grid": "Setup",
    "results": "Results",
    "rows": "Rows and their runs",
    "repeat": "How to reproduce",
}


@dataclass(frozen=True)
class RowRun:
    """The run of a row and seed.

    Attributes:
        seed: of the run.
        folder: None if it has not begun.
        link: to its page, from that of the grid; empty if it has none.
    """

    seed: int
    folder: Path | None
    link: str = ""


@dataclass(frozen=True)
class RowRuns:
    """A row with its runs.

    Attributes:
        name: of the row.
        recipes: that it takes.
        runs: one for each seed.
        command: that trains the first one; None if that cannot be told.
        doubt: why it cannot.
    """

    name: str
    recipes: Sequence[str]
    runs: Sequence[RowRun]
    command: Command | None = None
    doubt: str = ""


def grid_page(folder: Path, out: Path) -> tuple[str, list[Rendering]]:
    """The whole page as HTML, and the curves that are in it.

    Args:
        folder: of the grid.
        out: the file that the page will be, for its links to the pages of runs.

    Raises:
        SM3Error: there is no grid.
    """
    results = collect(folder)
    home = Folder(folder)
    table = tabulate(results)
    curves = [picture.render() for picture in charts(table).values()]
    replicates = home.plan().replicates
    rows = [
        _row(row, [replicate for replicate in replicates if replicate.row == row.name], home, out)
        for row in results.rows
    ]
    text = render(
        "grid.html",
        title=f"sm3kit: {results.title}",
        statement=STATEMENT,
        contents=CONTENTS,
        notes=[],
        facts=_facts(results, home),
        table=table,
        curves=curves,
        rows=rows,
        record=home.record_file,
        commands=[
            Command(("sm3kit", "ablate", "--out", str(home.path))),
            Command(("sm3kit", "report", str(home.path))),
        ],
    )
    return text, curves


def run_of(home: Folder, replicate: Replicate) -> Path | None:
    """The run folder that the evaluations of a replicate are about; None if it has not begun."""
    plan = home.plan()
    for key in replicate.results.values():
        for task in reversed(plan.chain(key)):
            if plan.tasks[task].trains:
                folder = home.run(task)
                return folder if RunFolder(folder).exists else None
    return None


def _facts(results: GridResults, home: Folder) -> dict[str, str]:
    done = sum(len(seeds) for row in results.rows for seeds in row.records.values())
    measures = [row.measures(protocol) for row in results.rows for protocol in results.protocols]
    wanted = sum(measures) * len(results.seeds)
    more = "" if done == wanted else f"; resume with: {home.resume_command}"
    return {
        "folder": str(home.path),
        "data": ", ".join(results.data),
        "rows": ", ".join(row.name for row in results.rows),
        "seeds": ", ".join(map(str, results.seeds)),
        "protocols": ", ".join(results.protocols),
        "measured on": f"split {results.split}, select {results.select}",
        "compared with": results.baseline,
        "state": f"{done} of {wanted} results{more}",
    }


def _row(row: RowResults, replicates: Sequence[Replicate], home: Folder, out: Path) -> RowRuns:
    """The runs of a row, with links to their pages, and the command that trains its first one."""
    runs = []
    for replicate in replicates:
        folder = run_of(home, replicate)
        page = folder / "report.html" if folder else None
        link = ""
        if page and page.is_file():
            link = quote(Path(os.path.relpath(page, out.parent)).as_posix())
        runs.append(RowRun(replicate.seed, folder, link))
    first = next((run.folder for run in runs if run.folder), None)
    command, doubt = None, ""
    if first:
        try:
            command = pretraining(RunFolder(first).record().variant)
        except SM3Error as error:
            doubt = str(error)
    return RowRuns(row.name, row.recipes, runs, command, doubt)
