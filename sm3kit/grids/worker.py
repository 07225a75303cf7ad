"""The loop of every worker: take the next stage that nobody works on, do it, note it."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from filelock import FileLock, Timeout

from sm3kit.core.errors import Interrupted, SM3Error
from sm3kit.grids.folder import Folder, Record
from sm3kit.grids.plan import Cell, Plan, Stage
from sm3kit.grids.standing import Standing

SHORTEST_WAIT, LONGEST_WAIT = 0.1, 2.0


def work(
    folder: Folder,
    rows: Sequence[str] = (),
    cache: bool = True,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Works on a grid until all is done or has failed, beside any number of others.

    A worker needs no scheduler: it holds the lock of the stage that it works on, and the system
    lets go of the lock when the process ends, however it ends.

    Args:
        folder: of the grid; its plan may grow meanwhile.
        rows: only these; empty takes all.
        cache: whether decoded images and features are kept.
        look: called after each stage.

    Raises:
        Interrupted: the user stopped it.
        SM3Error: there is no plan.
    """
    caches: Any = None
    wait = SHORTEST_WAIT
    while True:
        plan = folder.plan()
        standing = Standing(folder, plan, cells_of(plan, rows))
        if not standing.left:
            return
        claimed = _claim(folder, standing)
        if claimed is None:
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
            continue
        wait = SHORTEST_WAIT
        stage, lock = claimed
        try:
            if caches is None:
                # Here, so that nothing heavy is imported where nothing is left to do.
                from sm3kit.grids.stages import Caches

                caches = Caches.of_user(cache)
            _do(stage, folder, caches)
        finally:
            lock.release()
        look()


def cells_of(plan: Plan, rows: Sequence[str]) -> list[Cell]:
    """The cells of some rows; of all, if none is named."""
    return [cell for cell in plan.cells if not rows or cell.row in rows]


def process_name() -> str:
    """How this process is called in records."""
    return f"{platform.node()}:{os.getpid()}"


def note_failure(folder: Folder, stage: Stage, reason: str) -> None:
    """Notes why a stage failed; who calls holds its lock."""
    record = folder.record(stage.key)
    folder.write_record(stage.key, dataclasses.replace(record, title=stage.title, failed=reason))


def forget_failures(folder: Folder, stages: Sequence[Stage]) -> int:
    """Lets failed stages be tried again.

    Returns:
        How many there were.
    """
    count = 0
    for stage in stages:
        if folder.record(stage.key).failed:
            # A stage that somebody works on has not failed.
            with suppress(Timeout), FileLock(_made(folder, stage.key), timeout=0):
                record = folder.record(stage.key)
                folder.write_record(stage.key, dataclasses.replace(record, failed=""))
                count += 1
    return count


def _claim(folder: Folder, standing: Standing) -> tuple[Stage, FileLock] | None:
    """The next stage that is ready and that nobody works on, with its lock."""
    for stage in standing.left:
        if not standing.ready(stage):
            continue
        lock = FileLock(_made(folder, stage.key))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        record = folder.record(stage.key)
        if record.failed or (record.completions and folder.product(stage).is_file()):
            lock.release()  # Somebody was faster.
            continue
        return stage, lock
    return None


def _do(stage: Stage, folder: Folder, caches: Any) -> None:
    """Does a stage and notes how it went."""
    from sm3kit.grids.stages import carry_out

    folder.remove_unfinished(stage.key)
    before = folder.record(stage.key)
    record = Record(
        stage.title, before.starts + 1, before.completions, whole=not before.starts,
        process=process_name(),
    )  # fmt: skip
    folder.write_record(stage.key, record)
    start = time.perf_counter()
    try:
        auc = carry_out(stage, folder, caches)
    except Interrupted:
        raise
    except Exception as error:
        note_failure(folder, stage, _one_line(error))
        return
    seconds = round(time.perf_counter() - start, 2)
    done = dataclasses.replace(record, completions=record.completions + 1, seconds=seconds, auc=auc)
    folder.write_record(stage.key, done)


def _made(folder: Folder, key: str) -> str:
    """The lock file of a stage, in a folder that is there."""
    file = folder.lock(key)
    file.parent.mkdir(parents=True, exist_ok=True)
    return str(file)


def _one_line(error: Exception) -> str:
    reason = " ".join(str(error).split())[:500]
    return reason if isinstance(error, SM3Error) else f"{type(error).__name__}: {reason}"
