"""Where a grid is worked on: each executor is a module with `execute`, imported on first use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from sm3kit.core.errors import VariantError
from sm3kit.core.names import unknown

if TYPE_CHECKING:
    from sm3kit.grids.standing import GridRun

# {name on the command line: module}.
EXECUTORS = {"local": "local", "ray": "on_ray", "slurm": "slurm"}


def execute(executor: str, run: GridRun, jobs: int, look: Callable[[], None]) -> None:
    """Does what is left of a grid, or hands it over.

    Args:
        executor: one of EXECUTORS.
        run: the grid.
        jobs: how many workers there are at a time.
        look: called now and then.

    Raises:
        Interrupted: the user stopped it.
        SM3Error: no such executor, or what it wants is not there.
        TrainingError: workers end without having begun a task.
    """
    if executor not in EXECUTORS:
        raise VariantError(unknown("executor", executor, EXECUTORS))
    import_module(f"{__name__}.{EXECUTORS[executor]}").execute(run, jobs, look)
