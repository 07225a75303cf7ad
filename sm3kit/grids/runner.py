"""Grids from the command line and from Python: one call from a name to a table."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sm3kit.core.errors import Interrupted, VariantError
from sm3kit.core.names import unknown
from sm3kit.grids import executors, preparation
from sm3kit.grids.folder import Folder
from sm3kit.grids.grid import load, names
from sm3kit.grids.progress import Lines
from sm3kit.grids.standing import GridRun, collect
from sm3kit.results.grid_table import tabulate
from sm3kit.results.measurement import GridResults
from sm3kit.results.table import Table
from sm3kit.results.writers import write_all

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def ablate(
    grid: str = "quick",
    data: Sequence[str] = (),
    out: str | Path | None = None,
    jobs: int = 1,
    *,
    seeds: Sequence[int] = (),
    protocols: Sequence[str] = (),
    rows: Sequence[str] = (),
    executor: str = "local",
    cache: bool = True,
    retry_failed: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> GridResults:
    """Runs a grid, or what is left of it, and writes its tables.

    Args:
        grid: a built-in grid or a YAML file.
        data: data sets, each `name` or `name:argument`; empty takes the grid's.
        out: the folder; None takes runs/ablation-GRID. A grid in it is gone on with.
        jobs: how many workers there are; one works in this process.
        seeds, protocols: instead of the grid's.
        rows: only these; empty takes all.
        executor: "local" for processes on this machine, "ray" for a cluster, "slurm" for a script.
        cache: whether decoded images and features are kept.
        retry_failed: try again what failed before.
        say: called with a line for each note on the plan, and for each task that has ended.

    Returns:
        All results; rows that failed say why.

    Raises:
        SM3Error: something in the grid is wrong, or no such executor; nothing was trained.
        Interrupted: the user stopped it; the same call goes on.
    """
    executors.load(executor)  # Refused before anything is written.
    run = begin(grid, data, out, seeds=seeds, protocols=protocols, rows=rows, cache=cache)
    if retry_failed:
        run.forget_failures()
    for note in run.plan.notes:
        say(f"note     {note}")
    progress = Lines(run, jobs, say)
    carry_on(run, jobs, executor, progress.look)
    progress.look()
    results = collect(run.folder.path)
    write_tables(results)
    return results


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
) -> GridRun:
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
    wanted = load(name) if name else preparation.grid_of(Folder(Path(out or "")))
    wanted = wanted.with_changes(data, seeds, protocols)
    folder = Folder(Path(out) if out else Path("runs") / f"ablation-{wanted.name}")
    plan = preparation.prepare(wanted, folder, write=write)
    known = list(dict.fromkeys(replicate.row for replicate in plan.replicates))
    for row in rows:
        if row not in known:
            raise VariantError(unknown("row", row, known))
    return GridRun(folder, plan, rows, cache)


def carry_on(
    run: GridRun, jobs: int = 1, executor: str = "local", look: Callable[[], None] = lambda: None
) -> None:
    """Does what is left.

    Args:
        run: the grid.
        jobs: how many workers there are at a time.
        executor: one of `executors.EXECUTORS`.
        look: called now and then, for whoever shows progress.

    Raises:
        Interrupted: the user stopped it; finished work is kept.
    """
    if not run.standing().left:
        return
    try:
        with _stoppable():
            executors.load(executor)(run, jobs, look)
    except Interrupted:
        left = len(run.standing().left)
        raise Interrupted(
            f"Stopped with {left} stages left; everything done so far is kept. Resume with the "
            f"same command, or: {run.folder.resume_command}"
        ) from None


def write_tables(results: GridResults) -> tuple[Table, Sequence[Path]]:
    """Writes table.csv, table.md, table.tex, table.html and curves into the folder of a grid.

    Returns:
        What is in them, and the files.
    """
    table = tabulate(results)
    return table, write_all(table, results.folder)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turns signals into Interrupted; a training inside takes them first, and ends its step.

    Raises:
        Interrupted: a signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python gives signals to the main thread alone.
        return
    before = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("Stopped.") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    # No Exception: nothing on the way up may take it for a mistake.
    raise KeyboardInterrupt
