"""Grids from the command line and from Python: one call from a name to a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sm3kit.core.errors import Interrupted, VariantError
from sm3kit.core.names import unknown
from sm3kit.grids import collecting, preparing
from sm3kit.grids.folder import Folder
from sm3kit.grids.grid import load, names
from sm3kit.grids.plan import Cell, Plan
from sm3kit.grids.standing import Standing
from sm3kit.grids.stopping import stoppable
from sm3kit.grids.worker import cells_of, forget_failures, work
from sm3kit.results.results import GridResults
from sm3kit.results.sections import Table
from sm3kit.results.table import tabulate
from sm3kit.results.writers import write_all

Executor = Literal["local", "ray"]


@dataclass(frozen=True)
class Job:
    """A grid in its folder.

    Attributes:
        folder: where everything lies.
        plan: all cells and stages.
        rows: those to work on; empty for all.
        cache: whether decoded images and features are kept.
    """

    folder: Folder
    plan: Plan
    rows: tuple[str, ...] = ()
    cache: bool = True

    @property
    def cells(self) -> list[Cell]:
        """The cells to work on."""
        return cells_of(self.plan, self.rows)

    @property
    def words(self) -> list[str]:
        """What a worker's command line says of this."""
        rows = [word for row in self.rows for word in ("--row", row)]
        return rows if self.cache else [*rows, "--no-cache"]

    def standing(self) -> Standing:
        """How it stands now."""
        return Standing(self.folder, self.plan, self.cells)


@dataclass(frozen=True)
class Finished:
    """What a grid came to: its results, their table, and the files that hold it."""

    results: GridResults
    table: Table
    files: Sequence[Path]


def ablate(
    grid: str = "quick",
    data: Sequence[str] = (),
    out: str | Path | None = None,
    jobs: int = 1,
    *,
    seeds: Sequence[int] = (),
    protocols: Sequence[str] = (),
    rows: Sequence[str] = (),
    executor: Executor = "local",
    cache: bool = True,
    retry_failed: bool = False,
) -> GridResults:
    """Runs a grid, or what is left of it, and writes its tables.

    Args:
        grid: a built-in grid or a YAML file.
        data: data sets, each `name` or `name:argument`; empty takes the grid's.
        out: the folder; None takes runs/ablation-GRID. A grid in it is gone on with.
        jobs: how many cells are worked on at a time; one works in this process.
        seeds, protocols: instead of the grid's.
        rows: only these; empty takes all.
        executor: "local" for processes on this machine, "ray" for a cluster.
        cache: whether decoded images and features are kept.
        retry_failed: try again what failed before.

    Returns:
        All results; rows that failed say why.

    Raises:
        SM3Error: something in the grid is wrong; nothing was trained.
        Interrupted: the user stopped it; the same call goes on.
    """
    job = begin(grid, data, out, seeds=seeds, protocols=protocols, rows=rows, cache=cache)
    if retry_failed:
        forget_failures(job.folder, job.standing().stages)
    carry_on(job, jobs, executor)
    return finish(job).results


def begin(
    name: str,
    data: Sequence[str] = (),
    out: str | Path | None = None,
    *,
    seeds: Sequence[int] = (),
    protocols: Sequence[str] = (),
    rows: Sequence[str] = (),
    cache: bool = True,
    write: bool = True,
) -> Job:
    """Looks everything up and lays the plan down; the arguments are those of `ablate`.

    Args:
        name: a grid; empty takes the one in `out`.
        write: whether the folder is made, or brought up to date.

    Raises:
        SM3Error: something in the grid is wrong, or `out` holds another grid.
    """
    if not name and out is None:
        raise VariantError(
            "Which grid? Give --grid NAME or --grid FILE.yaml, or --out with the folder of one. "
            f"Built in: {', '.join(names())}; --grid alone is quick."
        )
    wanted = load(name) if name else preparing.grid_of(Folder(Path(out or "")))
    wanted = wanted.with_changes(data, seeds, protocols)
    folder = Folder(Path(out) if out else Path("runs") / f"ablation-{wanted.name}")
    plan = preparing.prepared(wanted, folder, write=write)
    known = list(dict.fromkeys(cell.row for cell in plan.cells))
    for row in rows:
        if row not in known:
            raise VariantError(unknown("row", row, known))
    return Job(folder, plan, tuple(rows), cache)


def carry_on(
    job: Job, jobs: int = 1, executor: Executor = "local", look: Callable[[], None] = lambda: None
) -> None:
    """Does what is left.

    Args:
        job: the grid.
        jobs: how many cells are worked on at a time.
        executor: "local" or "ray".
        look: called now and then, for whoever shows progress.

    Raises:
        Interrupted: the user stopped it; finished work is kept.
    """
    if not job.standing().left:
        return
    try:
        with stoppable():
            if executor == "ray":
                from sm3kit.grids.executors.on_ray import work_on_ray

                work_on_ray(job.folder, jobs, job.rows, job.cache, look)
            elif jobs > 1:
                from sm3kit.grids.executors.local import work_on_processes

                work_on_processes(job.folder, jobs, job.words, look)
            else:
                work(job.folder, job.rows, job.cache, look)
    except Interrupted:
        left = len(job.standing().left)
        raise Interrupted(
            f"Stopped with {left} stages left; all that was done is kept. Go on with the same "
            f"command, or: {job.folder.resume_command}"
        ) from None


def finish(job: Job) -> Finished:
    """Writes table.csv, table.md, table.tex, table.html and curves, and gives what is in them."""
    results = collecting.collect(job.folder.path)
    table = tabulate(results)
    return Finished(results, table, write_all(table, job.folder.path))
