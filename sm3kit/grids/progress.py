"""How a grid grows, in lines."""

from __future__ import annotations

from collections.abc import Callable

from sm3kit.core.text import duration
from sm3kit.grids.standing import GridRun, Standing


class Lines:
    """Says a line for each task that has come to its end since it looked last."""

    def __init__(self, run: GridRun, jobs: int, say: Callable[[str], None]) -> None:
        self.run, self.jobs, self.say = run, jobs, say
        self.known = set(_ended_keys(run.standing()))

    def look(self) -> None:
        """Says what is new."""
        standing = self.run.standing()
        ended = _ended_keys(standing)
        left = standing.seconds_left(self.jobs)
        more = "" if left is None or not standing.left else f", about {duration(left)} left"
        for task in standing.tasks:
            record = standing.records[task.key]
            if task.key not in ended - self.known:
                continue
            self.known.add(task.key)
            if task.key in standing.done:
                auc = "" if record.auc is None else f", mean AUC {100 * record.auc:.1f}"
                text = f"done     {task.title}{auc} ({duration(record.seconds)})"
            elif record.failed:
                text = f"failed   {task.title}: {record.failed}"
            else:
                continue  # What it needs has failed, and that was said.
            self.say(f"{text}; {len(ended)} of {len(standing.tasks)}{more}")


def _ended_keys(standing: Standing) -> set[str]:
    """Tasks that are done or have failed, and those that cannot be begun for that."""
    return standing.done | {task.key for task in standing.tasks if standing.reason(task.key)}
