"""Workers as tasks of an existing Ray cluster; a task whose machine dies is started again."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sm3kit.core.errors import Interrupted, SM3Error, TrainingError
from sm3kit.core.plugin_files import VARIABLE
from sm3kit.grids.folder import Folder
from sm3kit.grids.standing import GridRun

RETRIES = 20
POLL = 1.0


def execute(run: GridRun, jobs: int, look: Callable[[], None]) -> None:
    """Works on a grid with N tasks of the cluster at RAY_ADDRESS, or of the one that Ray finds.

    All its machines reach the folder by the same path.

    Args:
        run: the grid.
        jobs: N.
        look: called once a second.

    Raises:
        SM3Error: Ray is not installed, or there is no cluster.
        Interrupted: the user stopped it.
        TrainingError: a task of Ray ended with an error of its own.
    """
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        _connect(ray)
    cluster = ray.cluster_resources()
    needs = {
        "num_cpus": max(1, int(cluster.get("CPU", 1)) // jobs),
        "num_gpus": min(1.0, cluster.get("GPU", 0) / jobs),
    }
    remote = ray.remote(max_retries=RETRIES, **needs)(work_in)
    own = (str(Path.cwd()), str(run.folder.path.resolve()), list(run.rows), run.cache)
    waiting = [remote.remote(*own) for _ in range(jobs)]
    try:
        while waiting:
            ended, waiting = ray.wait(waiting, timeout=POLL)
            look()
            ray.get(ended)
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[-300:]
        raise TrainingError(f"A task on Ray ended with: {reason}") from error
    except (KeyboardInterrupt, Interrupted):
        for reference in waiting:
            ray.cancel(reference)
        raise
    finally:
        look()
        if started:
            ray.shutdown()


def work_in(current: str, path: str, rows: Sequence[str], cache: bool) -> None:
    """What a task of Ray does: a worker in the folder that the command was given in."""
    from sm3kit.grids.worker import Worker

    os.chdir(current)
    folder = Folder(Path(path))
    Worker(GridRun(folder, folder.plan(), rows, cache)).work(lambda: None)


def _connect(ray: Any) -> None:
    try:
        # Without "auto" Ray would silently start a cluster of this one machine.
        ray.init(
            address=os.environ.get("RAY_ADDRESS", "auto"),
            runtime_env={"env_vars": {VARIABLE: os.environ.get(VARIABLE, "")}},
            log_to_driver=False,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise SM3Error(
            "There is no Ray cluster here. Start one with `ray start --head`, or set RAY_ADDRESS; "
            "on one machine --executor local does the same without Ray."
        ) from error


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise SM3Error(
            "--executor ray needs Ray, which is not installed: pip install 'sm3kit[ray]'"
        ) from error
