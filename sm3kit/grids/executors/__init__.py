"""Where a grid is worked on: each executor is a module with `execute`, imported on first use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from sm3kit.core.errors import VariantError
from sm3kit.core.names import unknown

if TYPE_CHECKING:
    from sm3kit.grids.standing import GridRun

# {name on the command line: module}.
EXECUTORS = {"local": "local", "ray": "on_ray", "slurm": "slurm"}


class Execute(Protocol):
    """Does what is left of a grid, or hands it over."""

    def __call__(self, run: GridRun, jobs: int, look: Callable[[], None]) -> None:
        """Works until all is done or has failed.

        Args:
            run: the grid.
            jobs: how many workers there are at a time.
            look: called now and then.

        Raises:
            Interrupted: the user stopped it.
            SM3Error: what the executor wants is not there.
            TrainingError: workers end without having begun a task.
        """


def load(executor: str) -> Execute:
    """The `execute` of an executor.

    Raises:
        VariantError: no such executor.
    """
    if executor not in EXECUTORS:
        raise VariantError(unknown("executor", executor, EXECUTORS))
    execute: Execute = import_module(f"{__name__}.{EXECUTORS[executor]}").execute
    return execute
