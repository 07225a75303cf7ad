"""A worker of a grid: takes the next task that nobody works on, does it, notes it.

Imported only where something is left to do, as it brings torch and Lightning.
"""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO, cast

from filelock import FileLock, Timeout

from sm3kit.core.errors import Interrupted, SM3Error
from sm3kit.core.variant import Variant
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.opening import open_subject
from sm3kit.evaluation.record_file import read_record
from sm3kit.evaluation.settings import Settings
from sm3kit.grids.folder import MAKE_ANEW, TaskRecord, process_name
from sm3kit.grids.plan import Task
from sm3kit.grids.standing import GridRun, Standing
from sm3kit.grids.teaching import with_teacher
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.folder import RunFolder
from sm3kit.training.pretrain import pretrain

SHORTEST_WAIT, LONGEST_WAIT = 0.1, 2.0


class LogFile:
    """Takes the lines of a reporter, as a console that is no terminal."""

    is_terminal = False

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def print(self, text: str, **style: Any) -> None:
        """Writes a line; style is for terminals."""
        self.file.write(f"{text}\n")
        self.file.flush()


class Worker:
    """Works on a grid, beside any number of others.

    A worker needs no scheduler: it holds the lock of the task that it works on, and the system
    lets go of the lock when the process ends, however it ends.

    Args:
        run: the grid; its plan may grow meanwhile.
    """

    def __init__(self, run: GridRun) -> None:
        self.run, self.folder = run, run.folder
        self.images = ImageCache.of_user(keep=run.cache)
        self.features = FeatureCache.of_user(keep=run.cache)

    def work(self, look: Callable[[], None]) -> None:
        """Works until all is done or has failed.

        Args:
            look: called after each task.

        Raises:
            Interrupted: the user stopped it.
            SM3Error: there is no plan.
        """
        wait = SHORTEST_WAIT
        while (standing := self.run.reread().standing()).left:
            claimed = self._claim(standing)
            if claimed is None:
                time.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)
                continue
            wait = SHORTEST_WAIT
            task, lock = claimed
            try:
                self._do(task)
            finally:
                lock.release()
            look()

    def _claim(self, standing: Standing) -> tuple[Task, FileLock] | None:
        """The next task that is ready and that nobody works on, with its lock."""
        for task in standing.left:
            if not standing.ready(task):
                continue
            lock = self.folder.lock(task.key)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            record = self.folder.record(task.key)
            if record.failed or (record.completions and self.folder.product(task).is_file()):
                lock.release()  # Somebody was faster.
                continue
            return task, lock
        return None

    def _do(self, task: Task) -> None:
        """Does a task and notes how it went."""
        self.folder.remove_unfinished(task.key)
        before = self.folder.record(task.key)
        record = TaskRecord(
            task.title, before.starts + 1, before.completions, whole=not before.starts,
            process=process_name(),
        )  # fmt: skip
        self.folder.write_record(task.key, record)
        start = time.perf_counter()
        try:
            auc = self._carry_out(task)
        except Interrupted:
            raise
        except Exception as error:
            self.folder.note_failure(task, _one_line(error))
            return
        seconds = round(time.perf_counter() - start, 2)
        completions = record.completions + 1
        done = dataclasses.replace(record, completions=completions, seconds=seconds, auc=auc)
        self.folder.write_record(task.key, done)

    def _carry_out(self, task: Task) -> float | None:
        """Does the work of a task, or what is left of it.

        Returns:
            The mean AUC of an evaluation with labels where it is defined, else None.
        """
        with self.folder.open_log(task.key) as log:
            log.write(f"{task.title}\n")
            reporter = Reporter(cast(Any, LogFile(log)))
            try:
                if not task.trains:
                    return self._measure(task, reporter)
                self._train(task, reporter)
                return None
            except Interrupted:
                raise
            except Exception:
                traceback.print_exc(file=log)
                raise

    def _train(self, task: Task, reporter: Reporter) -> None:
        run = RunFolder(self.folder.run(task.key))
        variant = Variant().changed(task.settings, str(self.folder.plan_file))
        if run.last.is_file():
            # As it was called then: another machine may reach the folder by another path.
            before = run.record().variant
            variant = dataclasses.replace(variant, init=before.init, options=before.options)
        elif task.parent:
            tasks = self.run.reread().plan.tasks
            if tasks[task.parent].trains:
                variant = dataclasses.replace(variant, init=str(self.folder.run(task.parent)))
            else:
                variant = with_teacher(variant, self.folder, tasks, task.parent)
        pretrain(variant, run.folder, reporter, self.images, True, self.features)

    def _measure(self, task: Task, reporter: Reporter) -> float | None:
        file = self.folder.result(task.key)
        if file.is_file():
            # Written last, by a process that was killed before it could say so.
            record = read_record(file, MAKE_ANEW)
        else:
            run = self.folder.run(task.parent)
            subject = open_subject(run, (), self.images, self.features, reporter)
            changes = {name: value for name, value in task.settings.items() if name != "protocol"}
            start = Settings(protocol=task.kind)  # type: ignore[arg-type]
            record = evaluate(subject, start.changed(changes, str(self.folder.plan_file)), file)
        auc: float | None = record.get("mean", {}).get("auc")
        return auc


def _one_line(error: Exception) -> str:
    reason = " ".join(str(error).split())[:500]
    return reason if isinstance(error, SM3Error) else f"{type(error).__name__}: {reason}"
