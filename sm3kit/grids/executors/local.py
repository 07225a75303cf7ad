"""Several worker processes on this machine, with its cores and GPUs shared out."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TextIO

from filelock import FileLock, Timeout

from sm3kit.core.errors import TrainingError
from sm3kit.grids.folder import Folder
from sm3kit.grids.plan import Stage
from sm3kit.grids.worker import note_failure

POLL = 0.5
PATIENCE = 60
# A stage whose process ends this often before the stage does is not tried again.
TRIES = 3
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def work_on_processes(
    folder: Folder, jobs: int, words: Sequence[str], look: Callable[[], None]
) -> None:
    """Works on a grid with N processes until all is done or has failed.

    A process that fails is replaced; a stage that three processes failed in has failed.

    Args:
        folder: of the grid.
        jobs: N.
        words: what else each worker's command line says.
        look: called twice a second.

    Raises:
        Interrupted: the user stopped it; the workers end between two steps.
        TrainingError: processes end without having begun a stage.
    """
    workers = {number: _start(folder, number, jobs, words) for number in range(jobs)}
    failures: Counter[str] = Counter()
    try:
        while workers:
            time.sleep(POLL)
            look()
            for number, process in list(workers.items()):
                code = process.poll()
                if code is None:
                    continue
                del workers[number]
                if code:
                    _count_failure(folder, process.pid, code, number, failures)
                    workers[number] = _start(folder, number, jobs, words)
    finally:
        _end(list(workers.values()))
        look()


def share(number: int, jobs: int, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of one worker: its part of the cores, and its GPUs.

    Numbers of threads and GPUs that the user has set are kept, and shared out in turn.
    """
    mine = dict(environment)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for name in THREADS:
        mine.setdefault(name, str(max(1, (cores or 1) // jobs)))
    gpus = [one for one in mine.get("CUDA_VISIBLE_DEVICES", _gpus()).split(",") if one]
    if gpus:
        mine["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[number % len(gpus) :: jobs])
    return mine


def _gpus() -> str:
    """The numbers of the GPUs as `nvidia-smi -L` lists them, without torch."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return ",".join(str(number) for number in range(len(lines)))


def _start(folder: Folder, number: int, jobs: int, words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Starts a worker, in a session of its own: Ctrl-C reaches it only through its parent."""
    command = [sys.executable, "-m", "sm3kit", "ablate", "--worker", "--out", str(folder.path)]
    command += ["--parent", str(os.getpid()), *words]
    with _opened(folder, number) as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=share(number, jobs, os.environ),
            start_new_session=True,
        )


def _opened(folder: Folder, number: int) -> TextIO:
    log = folder.log(f"worker-{number}")
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("a", encoding="utf-8")


def _count_failure(
    folder: Folder, pid: int, code: int, number: int, failures: Counter[str]
) -> None:
    """Counts the workers that ended within a stage, and gives the stage up after TRIES of them."""
    plan = folder.plan()
    name = f"{platform.node()}:{pid}"
    own = [one for one in plan.stages.values() if _held(folder, one, name)]
    where = own[0].key if own else ""
    failures[where] += 1
    if failures[where] < TRIES:
        return
    how = f"killed by signal {-code}, for want of memory?" if code < 0 else f"exit code {code}"
    if not own:
        raise TrainingError(
            f"Workers end before they begin ({how}). The reason is in {folder.log(f'worker-{number}')}."
        )
    with suppress(Timeout), FileLock(str(folder.lock(where)), timeout=0):
        note_failure(folder, own[0], f"Its process ended {TRIES} times: {how}")


def _held(folder: Folder, stage: Stage, process: str) -> bool:
    record = folder.record(stage.key)
    return record.process == process and not record.completions and not record.failed


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Asks workers to stop, and waits for the step that they are in."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
