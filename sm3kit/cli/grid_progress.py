"""How a grid grows: a live table on a terminal, a line for each stage elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sm3kit.grids.grid import PROTOCOLS
from sm3kit.grids.plan import TRAINING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sm3kit.grids.runner import Job
    from sm3kit.grids.standing import Standing

ORDER = (*TRAINING, *PROTOCOLS)


@contextmanager
def shown(job: Job, jobs: int, out: Console, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Shows how a grid grows; gives what is to be called now and then meanwhile."""
    if quiet:
        yield lambda: None
        return
    if not out.is_terminal:
        lines = Lines(job, jobs, out)
        yield lines.look
        lines.look()
        return
    from rich.live import Live

    with Live(GrowingTable(job, jobs), console=out, refresh_per_second=1, transient=True):
        yield lambda: None


class Lines:
    """Says a line for each stage that has come to its end since it looked last."""

    def __init__(self, job: Job, jobs: int, out: Console) -> None:
        self.job, self.jobs, self.out = job, jobs, out
        standing = job.standing()
        self.known = {*standing.done, *_failed(standing)}

    def look(self) -> None:
        """Says what is new."""
        standing = self.job.standing()
        failed = _failed(standing)
        ended = standing.done | failed.keys()
        left = standing.seconds_left(self.jobs)
        more = "" if left is None or not standing.left else f", about {duration(left)} left"
        for stage in standing.stages:
            record = standing.records[stage.key]
            if stage.key not in ended - self.known:
                continue
            self.known.add(stage.key)
            if stage.key in standing.done:
                auc = "" if record.auc is None else f", mean AUC {100 * record.auc:.1f}"
                said = f"done     {stage.title}{auc} ({duration(record.seconds)})"
            elif record.failed:
                said = f"failed   {stage.title}: {record.failed}"
            else:
                continue  # What it needs has failed, and that was said.
            text = f"{said}; {len(ended)} of {len(standing.stages)}{more}"
            self.out.print(text, highlight=False, markup=False)


class GrowingTable:
    """Rows, seeds done, mean AUC so far and time left, read from the folder when it is drawn."""

    def __init__(self, job: Job, jobs: int) -> None:
        self.job, self.jobs, self.start = job, jobs, time.monotonic()

    def __rich__(self) -> Table:
        """The table as it stands."""
        from rich.markup import escape
        from rich.table import Table

        standing = self.job.standing()
        protocols = list(
            dict.fromkeys(
                name for cell in standing.cells for name in cell.results if name != "match"
            )
        )
        left = standing.seconds_left(self.jobs)
        told = "time left not known yet" if left is None else f"about {duration(left)} left"
        title = (
            f"{len(standing.stages) - len(standing.left)} of {len(standing.stages)} stages, "
            f"{duration(time.monotonic() - self.start)}, {told}"
        )
        table = Table(box=None, pad_edge=False, title=title, title_justify="left")
        table.add_column("row", overflow="fold")
        table.add_column("seeds", justify="right")
        for name in protocols:
            table.add_column(f"mean AUC, {name}", justify="right")
        table.add_column("", overflow="fold")
        for row in standing.rows():
            aucs = [f"{100 * row.auc[name]:.1f}" if name in row.auc else "" for name in protocols]
            failed = f"[red]failed: {escape(row.failed)}[/red]" if row.failed else ""
            table.add_row(escape(row.name), f"{row.seeds[0]}/{row.seeds[1]}", *aucs, failed)
        return table


def said_plan(job: Job, standing: Standing, jobs: int, *, verbose: bool) -> list[str]:
    """The plan in lines: cells, distinct stages, what is done, and an estimate of the time."""
    cells = standing.cells
    rows = len(dict.fromkeys(cell.row for cell in cells))
    wanted = Counter(
        job.plan.stages[one].kind
        for cell in cells
        for one in {key for last in cell.results.values() for key in job.plan.chain(last)}
    )
    there = Counter(stage.kind for stage in standing.stages)
    done = Counter(stage.kind for stage in standing.stages if stage.key in standing.done)
    lines = [f"grid     {job.folder.path}", f"cells    {len(cells)}: {rows} rows"]
    lines += [
        f"{TRAINING.get(kind, kind):8} {there[kind]} distinct for {wanted[kind]} cells, "
        f"{done[kind]} done"
        for kind in sorted(there, key=ORDER.index)
    ]
    if verbose:
        lines += [f"  to do  {stage.title}" for stage in standing.left]
    left = standing.seconds_left(jobs)
    if not standing.left:
        lines.append("left     nothing")
    elif left is None:
        lines.append(
            f"left     {len(standing.left)} stages; how long they take is known when one of each "
            "kind is done"
        )
    else:
        lines.append(f"left     {len(standing.left)} stages, about {duration(left)}")
    return lines


def duration(seconds: float) -> str:
    """Seconds as people say them: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _failed(standing: Standing) -> dict[str, str]:
    """Stages that failed, and those that cannot be begun for that."""
    return {x.key: said for x in standing.stages if (said := standing.reason(x.key))}
