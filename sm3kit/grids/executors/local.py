"""Workers on this machine: this process, or several with cores and GPUs shared out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from filelock import Timeout

from sm3kit.core.cores import usable_cores
from sm3kit.core.errors import TrainingError
from sm3kit.grids.folder import Folder, process_name
from sm3kit.grids.plan import Task
from sm3kit.grids.standing import GridRun

POLL = 0.5
PATIENCE = 60
# A task whose process ends this often before the task does is not tried again.
TRIES = 3
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def execute(run: GridRun, jobs: int, look: Callable[[], None]) -> None:
    """Works on a grid until all is done or has failed; one job works in this process.

    A process that fails is replaced; a task that three processes failed in has failed.

    Args:
        run: the grid.
        jobs: how many workers there are at a time.
        look: called after each task, or twice a second.

    Raises:
        Interrupted: the user stopped it; the workers end between two steps.
        TrainingError: processes end without having begun a task.
    """
    if jobs <= 1:
        from sm3kit.grids.worker import Worker

        Worker(run).work(look)
        return
    workers = {number: _start(run, number, jobs) for number in range(jobs)}
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
                    _count_failure(run.folder, process.pid, code, number, failures)
                    workers[number] = _start(run, number, jobs)
    finally:
        _end(list(workers.values()))
        look()


def share(number: int, jobs: int, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of one worker: its part of the cores, and its GPUs.

    Numbers of threads and GPUs that the user has set are kept, and shared out in turn.
    """
    mine = dict(environment)
    for name in THREADS:
        mine.setdefault(name, str(max(1, usable_cores() // jobs)))
    gpus = [gpu for gpu in mine.get("CUDA_VISIBLE_DEVICES", _gpus()).split(",") if gpu]
    if gpus:
        mine["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[number % len(gpus) :: jobs])
    return mine


def stop_without(parent: int) -> None:
    """Starts a thread that stops this process when its parent has died.

    Args:
        parent: number of the parent process.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _gpus() -> str:
    """The numbers of the GPUs as `nvidia-smi -L` lists them, without torch."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]
    return ",".join(str(number) for number in range(len(lines)))


def _start(run: GridRun, number: int, jobs: int) -> subprocess.Popen[bytes]:
    """Starts a worker, in a session of its own: Ctrl-C reaches it only through its parent."""
    words = [*run.worker_words(run.folder.path), "--parent", str(os.getpid())]
    with run.folder.open_log(f"worker-{number}") as log:
        return subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=share(number, jobs, os.environ),
            start_new_session=True,
        )


def _count_failure(
    folder: Folder, pid: int, code: int, number: int, failures: Counter[str]
) -> None:
    """Counts the workers that ended within a task, and gives the task up after TRIES of them."""
    plan = folder.plan()
    own = [task for task in plan.tasks.values() if _is_in_work(folder, task, process_name(pid))]
    key = own[0].key if own else ""
    failures[key] += 1
    if failures[key] < TRIES:
        return
    how = (
        f"killed by signal {-code}, perhaps because memory ran out"
        if code < 0
        else f"exit code {code}"
    )
    if not own:
        raise TrainingError(
            f"Workers exit before they start ({how}). The reason is in "
            f"{folder.log(f'worker-{number}')}."
        )
    with suppress(Timeout), folder.lock(key).acquire(timeout=0):
        folder.note_failure(own[0], f"Its process died {TRIES} times: {how}")


def _is_in_work(folder: Folder, task: Task, process: str) -> bool:
    """Whether a process has begun a task and not come to its end."""
    record = folder.record(task.key)
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
