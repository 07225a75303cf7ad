"""How a grid stands: what is done, what failed and why, what is left, and what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sm3kit.evaluation.record_file import read_record
from sm3kit.grids.folder import MAKE_ANEW, Folder, TaskRecord
from sm3kit.grids.plan import Plan, Replicate, Task
from sm3kit.results.measurement import GridResults, RowResults


@dataclass(frozen=True)
class GridRun:
    """A grid in its folder.

    Attributes:
        folder: where everything lies.
        plan: all replicates and tasks.
        rows: those to work on; empty for all.
        cache: whether decoded images and features are kept.
        script: where the executor for SLURM writes; None takes `submit.sh` in the folder.
    """

    folder: Folder
    plan: Plan
    rows: Sequence[str] = ()
    cache: bool = True
    script: Path | None = None

    @property
    def replicates(self) -> list[Replicate]:
        """The replicates to work on."""
        every = self.plan.replicates
        return [replicate for replicate in every if not self.rows or replicate.row in self.rows]

    def worker_words(self, folder: Path) -> list[str]:
        """What follows `python` on the command line of a worker that reaches a folder as this."""
        words = ["-m", "sm3kit", "ablate", "--worker", "--out", str(folder)]
        words += [word for row in self.rows for word in ("--row", row)]
        return words if self.cache else [*words, "--no-cache"]

    def reread(self) -> GridRun:
        """The same with the plan that its folder holds now."""
        return dataclasses.replace(self, plan=self.folder.plan())

    def forget_failures(self) -> None:
        """Lets failed tasks be tried again."""
        for task in self.plan.needed_by(self.replicates):
            self.folder.forget_failure(task)

    def standing(self) -> Standing:
        """How it stands now."""
        return Standing(self.folder, self.plan, self.replicates)


@dataclass(frozen=True)
class RowStanding:
    """One row, for a table that grows.

    Attributes:
        name: of the row.
        seeds: in how many seeds all is done, and of how many.
        auc: {protocol: mean AUC over the seeds so far}.
        failed: the first reason of a failure; empty if there is none.
    """

    name: str
    seeds: tuple[int, int]
    auc: dict[str, float]
    failed: str


class Standing:
    """The state of some replicates of a plan, as read from the folder at one moment."""

    def __init__(self, folder: Folder, plan: Plan, replicates: Sequence[Replicate]) -> None:
        self.plan, self.replicates = plan, replicates
        self.tasks = plan.needed_by(replicates)
        self.records: dict[str, TaskRecord] = {}
        self.done: set[str] = set()
        for task in self.tasks:
            self.records[task.key] = record = folder.record(task.key)
            if record.completions and folder.product(task).is_file():
                self.done.add(task.key)

    def reason(self, key: str) -> str:
        """Why a task failed, or one before it; empty if neither did."""
        if key in self.done:
            return ""
        for origin in self.plan.chain(key):
            if failed := self.records[origin].failed:
                return failed if origin == key else f"{self.plan.tasks[origin].title}: {failed}"
        return ""

    @cached_property
    def left(self) -> list[Task]:
        """What is still to be done, in the order of work; nothing that has failed."""
        results = [key for replicate in self.replicates for key in replicate.results.values()]
        wanted = {key for key in results if key not in self.done and not self.reason(key)}
        # A run that all evaluations are done of is no longer wanted.
        wanted |= {needed for key in wanted for needed in self.plan.chain(key)}
        return [task for task in self.tasks if task.key in wanted - self.done]

    def ready(self, task: Task) -> bool:
        """Whether all that a task needs is done."""
        return not task.parent or task.parent in self.done

    @property
    def failures(self) -> list[tuple[Replicate, str]]:
        """Replicates that failed, with the first reason."""
        reasons = [(replicate, self._first_reason([replicate])) for replicate in self.replicates]
        return [
            (replicate, _without_name(reason, replicate.row, replicate.seed))
            for replicate, reason in reasons
            if reason
        ]

    def rows(self) -> list[RowStanding]:
        """The rows, in order."""
        rows = []
        for name in dict.fromkeys(replicate.row for replicate in self.replicates):
            own = [replicate for replicate in self.replicates if replicate.row == name]
            done = sum(self.done.issuperset(replicate.results.values()) for replicate in own)
            aucs, failed = self._aucs(own), self._first_reason(own)
            rows.append(RowStanding(name, (done, len(own)), aucs, failed))
        return rows

    def seconds_left(self, jobs: int = 1) -> float | None:
        """An estimate from the tasks that are done, or None before there is one of each kind."""
        rates = {}
        for kind in {task.kind for task in self.left}:
            measured = [
                (self.records[task.key].seconds, max(task.work, 1))
                for task in self.plan.tasks.values()
                if task.kind == kind and task.key in self.done and self.records[task.key].whole
            ]
            # Networks that are only set up say nothing of training.
            measured = [(seconds, work) for seconds, work in measured if work > 1] or measured
            if not measured:
                return None
            rates[kind] = sum(s for s, _ in measured) / sum(work for _, work in measured)
        return sum(rates[task.kind] * max(task.work, 1) for task in self.left) / max(jobs, 1)

    def _aucs(self, replicates: Sequence[Replicate]) -> dict[str, float]:
        table: dict[str, list[float]] = {}
        for replicate in replicates:
            for protocol, key in replicate.results.items():
                auc = self.records[key].auc
                if key in self.done and auc is not None:
                    table.setdefault(protocol, []).append(auc)
        return {protocol: sum(aucs) / len(aucs) for protocol, aucs in table.items()}

    def _first_reason(self, replicates: Sequence[Replicate]) -> str:
        results = [key for replicate in replicates for key in replicate.results.values()]
        return next((reason for key in results if (reason := self.reason(key))), "")


def collect(path: Path) -> GridResults:
    """The results of a grid, those that are there, read from its folder.

    Raises:
        SM3Error: the folder holds no grid, or a result in it is damaged.
    """
    folder = Folder(path)
    grid = folder.grid()
    standing = GridRun(folder, folder.plan()).standing()
    return GridResults(
        title=grid["title"],
        folder=path,
        data=tuple(grid["data"]),
        split=grid["split"],
        select=grid["select"],
        protocols=tuple(grid["protocols"]),
        seeds=tuple(grid["seeds"]),
        baseline=grid["baseline"],
        rows=[_row(folder, standing, name, about) for name, about in grid["rows"].items()],
        axes=grid["axes"],
        metric=grid.get("metric", "auc"),  # Earlier versions had this one alone.
    )


def _row(folder: Folder, standing: Standing, name: str, about: Mapping[str, Any]) -> RowResults:
    records: dict[str, dict[int, dict[str, Any]]] = {}
    predictions: dict[str, dict[int, Path]] = {}
    failed: dict[int, str] = {}
    own = [replicate for replicate in standing.replicates if replicate.row == name]
    for replicate in own:
        seed = replicate.seed
        for protocol, key in replicate.results.items():
            file = folder.result(key)
            if key in standing.done:
                records.setdefault(protocol, {})[seed] = read_record(file, MAKE_ANEW)
                scores = file.with_suffix(".predictions.npz")
                if scores.is_file():
                    predictions.setdefault(protocol, {})[seed] = scores
            elif reason := standing.reason(key):
                failed.setdefault(seed, _without_name(reason, name, seed))
    return RowResults(
        name,
        tuple(about["recipe"]),
        about["axes"],
        records,
        predictions,
        failed,
        tuple(about["protocols"]),
    )


def _without_name(reason: str, row: str, seed: int) -> str:
    """A reason for a reader who knows the row and seed: "stage 1: out of memory"."""
    return reason.removeprefix(f"{row}, seed {seed}: ")
