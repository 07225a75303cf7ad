"""How a grid grows: a live table on a terminal, a line for each task elsewhere."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sm3kit.cli.settings import say
from sm3kit.core.stage_settings import STAGE_TITLES
from sm3kit.core.text import duration
from sm3kit.evaluation.settings import PREDICTING, PROTOCOLS
from sm3kit.grids.progress import Lines

if TYPE_CHECKING:
    from rich.console import Console, Group

    from sm3kit.grids.standing import GridRun

ORDER = (*STAGE_TITLES, *PROTOCOLS)


@contextmanager
def display(
    run: GridRun, jobs: int, out: Console, quiet: bool = False
) -> Iterator[Callable[[], None]]:
    """Shows how a grid grows; gives what is to be called now and then meanwhile."""
    if quiet:
        yield lambda: None
        return
    if not out.is_terminal:
        lines = Lines(run, jobs, functools.partial(say, out))
        yield lines.look
        lines.look()
        return
    from rich.live import Live

    with Live(GrowingTable(run, jobs), console=out, refresh_per_second=1, transient=True):
        yield lambda: None


class GrowingTable:
    """Rows, seeds done, mean AUC so far and time left, read from the folder when it is drawn."""

    def __init__(self, run: GridRun, jobs: int) -> None:
        self.run, self.jobs, self.start = run, jobs, time.monotonic()

    def __rich__(self) -> Group:
        """The table as it stands, below a line that may be wider than it."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        standing = self.run.standing()
        results = [name for replicate in standing.replicates for name in replicate.results]
        protocols = sorted({*results} & {*PREDICTING}, key=PROTOCOLS.index)
        left = standing.seconds_left(self.jobs)
        rest = "time left unknown" if left is None else f"about {duration(left)} left"
        title = (
            f"{len(standing.tasks) - len(standing.left)} of {len(standing.tasks)} stages, "
            f"{duration(time.monotonic() - self.start)}, {rest}"
        )
        table = Table(box=None, pad_edge=False)
        table.add_column("row", overflow="fold")
        table.add_column("seeds", justify="right")
        for name in protocols:
            table.add_column(f"mean AUC, {name} (%)", justify="right")
        table.add_column("", overflow="fold")
        for row in standing.rows():
            aucs = [f"{100 * row.auc[name]:.1f}" if name in row.auc else "" for name in protocols]
            failed = Text(f"failed: {row.failed}" if row.failed else "", style="red")
            table.add_row(row.name, f"{row.seeds[0]}/{row.seeds[1]}", *aucs, failed)
        return Group(Text(title, style="italic"), table)


def plan_lines(run: GridRun, jobs: int, *, verbose: bool) -> list[str]:
    """The plan in lines: replicates, distinct tasks, what is done, and an estimate of the time."""
    standing = run.standing()
    rows = len({replicate.row for replicate in standing.replicates})
    wanted = Counter(
        kind
        for replicate in standing.replicates
        for kind in {run.plan.tasks[key].kind for key in run.plan.keys_of(replicate)}
    )
    distinct = Counter(task.kind for task in standing.tasks)
    done = Counter(task.kind for task in standing.tasks if task.key in standing.done)
    lines = [f"grid     {run.folder.path}", f"cells    {len(standing.replicates)}: {rows} rows"]
    lines[1:1] = [f"note     {note}" for note in run.plan.notes]
    lines += [
        f"{STAGE_TITLES.get(kind, kind):8} {distinct[kind]} distinct for {wanted[kind]} cells, "
        f"{done[kind]} done"
        for kind in sorted(distinct, key=ORDER.index)
    ]
    if verbose:
        lines += [f"  to do  {task.title}" for task in standing.left]
    left = standing.seconds_left(jobs)
    if not standing.left:
        return [*lines, "left     nothing"]
    count = f"left     {len(standing.left)} stages"
    if left is None:
        return [*lines, f"{count}; the time is known once one of each kind is done"]
    return [*lines, f"{count}, about {duration(left)}"]
