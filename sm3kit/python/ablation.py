"""A grid of variants, as users hold it in Python."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from sm3kit.core.errors import CheckpointError
from sm3kit.grids import runner
from sm3kit.grids.folder import Folder
from sm3kit.grids.standing import collect
from sm3kit.python.calls import File, Words, check_keywords, surroundings, words
from sm3kit.report import make
from sm3kit.report.make import ReportFiles
from sm3kit.results.grid_table import tabulate
from sm3kit.results.measurement import GridResults
from sm3kit.results.table import Table


class Ablation:
    """The folder of a grid, with what was measured; a notebook shows it as a table.

    Args:
        folder: the folder that `ablate` wrote.
    """

    def __init__(self, folder: File) -> None:
        self.folder = Path(folder)

    @cached_property
    def results(self) -> GridResults:
        """All rows, with the record of each seed and protocol."""
        return collect(self.folder)

    @property
    def failures(self) -> dict[str, dict[int, str]]:
        """{row: {seed: why it failed}}; empty if all went well."""
        return {row.name: dict(row.failed) for row in self.results.rows if row.failed}

    def table(self) -> Table:
        """The table, which can be written as LaTeX, Markdown, HTML or a DataFrame."""
        return tabulate(self.results)

    def report(self, out: File | None = None, *, figures: bool = False) -> ReportFiles:
        """Writes one page of HTML on the grid, as `sm3kit report` does.

        Args:
            out: the page; report.html in the folder by default.
            figures: also write each figure as SVG.

        Raises:
            SM3Error: the page cannot be written.
        """
        around = surroundings(quiet=True)
        page = None if out is None else Path(out)
        return make.report(
            self.folder, around.images, around.features, around.reporter, page, figures=figures
        )

    def _repr_html_(self) -> str:
        return self.table().to_html()

    def __repr__(self) -> str:
        """The call that opens it again."""
        return f"sm3kit.open_ablation({str(self.folder)!r})"

    def __str__(self) -> str:
        """The table as plain text."""
        return str(self.table())


@check_keywords
def ablate(
    grid: File = "quick",
    *,
    data: Words | None = None,
    seeds: Sequence[int] = (),
    protocol: Words | None = None,
    row: Words | None = None,
    jobs: int = 1,
    executor: Literal["local", "ray"] = "local",
    out: File | None = None,
    retry_failed: bool = False,
    cache: bool = True,
    quiet: bool = False,
) -> Ablation:
    """Runs a grid of variants and makes its tables, as `sm3kit ablate` does.

    Work that rows share is done once, and finished work is never repeated: the same call continues
    a grid that was stopped.

    Args:
        grid: "quick", "table1" to "table6", "fig5-mmssl", "fig5-mlssl", "clusters", or a YAML file.
        data: data sets instead of the grid's; several are pooled.
        seeds: instead of the grid's, such as [0, 1, 2].
        protocol: "probe", "finetune", "knn", "match" or "clusters", or several, instead of the grid's.
        row: only this row, or these.
        jobs: how many stages are worked on at a time; one works in this process.
        executor: "local" for processes on this machine, "ray" for a Ray cluster.
        out: the folder; runs/ablation-GRID by default.
        retry_failed: try again what failed before.
        cache: whether decoded images and features are kept for the next time.
        quiet: show nothing.

    Returns:
        The grid: `table()`, `results`, `failures`.

    Raises:
        SM3Error: something in the grid is wrong; nothing was trained.
        Interrupted: the user stopped it; the same call continues it.
    """
    results = runner.ablate(
        str(grid), words(data), None if out is None else Path(out), jobs, seeds=seeds,
        protocols=words(protocol), rows=words(row), executor=executor, cache=cache,
        retry_failed=retry_failed, say=surroundings(quiet=quiet).reporter.say,
    )  # fmt: skip
    return Ablation(results.folder)


def open_ablation(folder: File) -> Ablation:
    """Opens the grid in a folder, as far as it is done.

    Raises:
        CheckpointError: there is no grid in it.
    """
    if not Folder(Path(folder)).exists:
        raise CheckpointError(
            f"{folder} holds no grid. Give the folder that `sm3kit ablate` or sm3kit.ablate wrote."
        )
    return Ablation(folder)
