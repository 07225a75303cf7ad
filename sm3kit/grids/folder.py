"""The folder of a grid: what lies where, and the record of each task."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import yaml
from filelock import FileLock, Timeout

from sm3kit.core import plain_json
from sm3kit.core.errors import DataError, SM3Error
from sm3kit.core.files import remove_unfinished, whole_file
from sm3kit.core.plain_json import NUMBER, Shape
from sm3kit.grids.plan import Plan, Task
from sm3kit.runs import plain_yaml

# What grid.yaml holds, as far as anybody looks into it again.
SHAPE: dict[str, Shape] = {
    **dict.fromkeys(("title", "grid", "sm3kit", "request", "split", "select", "baseline"), str),
    "data": [str],
    "own_data?": str,
    "metric?": str,
    "seeds": [int],
    "protocols": [str],
    "axes": {"*": list},
    "listings": [
        {
            "data": [str],
            "options": {"*": dict},
            "hash": str,
            "studies": {"*": int},
            "modalities": [str],
        }
    ],
    "rows": {
        "*": {"recipe": [str], "axes": dict, "protocols": [str], "listing": str, "settings": dict}
    },
    "source": {"seeds": [int], "protocols": [str]},
}
# What has become of a task, see `TaskRecord`.
RECORD: dict[str, Shape] = {
    "title?": str,
    "starts?": int,
    "completions?": int,
    "seconds?": NUMBER,
    "whole?": bool,
    "process?": str,
    "failed?": str,
    "auc?": (*NUMBER, type(None)),
}
MAKE_ANEW = "Delete it, then give the command of the grid again."
REMEDY = "Free some space, then give the same command again."


@dataclass(frozen=True)
class TaskRecord:
    """What has become of a task.

    Attributes:
        title: for people.
        starts: how often it was begun or gone on with.
        completions: how often it came to its end; more than once is work done twice.
        seconds: that its last part took, from its last start on.
        whole: whether that was all of it, so that the seconds can be compared.
        process: who works on it, or did: machine and number.
        failed: why it failed; empty if it did not.
        auc: mean AUC, of an evaluation with labels.
    """

    title: str = ""
    starts: int = 0
    completions: int = 0
    seconds: float = 0.0
    whole: bool = True
    process: str = ""
    failed: str = ""
    auc: float | None = None


class Folder:
    """The files of a grid.

    Attributes:
        path: of the folder.
        record_file: the grid as it was resolved, for people and for the comparison with a changed
            one.
        plan_file: replicates and tasks, for workers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record_file = path / "grid.yaml"
        self.plan_file = path / "plan.json"

    @property
    def exists(self) -> bool:
        """Whether a grid was begun here."""
        return self.record_file.is_file()

    @property
    def resume_command(self) -> str:
        """What goes on with the grid."""
        return f"sm3kit ablate --out {self.path}"

    def run(self, key: str) -> Path:
        """The run folder of a task that trains."""
        return self.path / "runs" / key

    def result(self, key: str) -> Path:
        """The result of an evaluation."""
        return self.path / "results" / f"{key}.json"

    def lock(self, name: str) -> FileLock:
        """What whoever works on a task holds."""
        file = self.path / "locks" / f"{name}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(str(file))

    def log(self, name: str) -> Path:
        """The file of what a task, or a worker, said."""
        return self.path / "logs" / f"{name}.log"

    def open_log(self, name: str) -> TextIO:
        """The log of a task, or a worker, to be written on."""
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("a", encoding="utf-8")

    def product(self, task: Task) -> Path:
        """The file that a task writes last."""
        if task.trains:
            return self.run(task.key) / "model.safetensors"
        return self.result(task.key)

    def grid(self) -> dict[str, Any]:
        """The content of grid.yaml.

        Raises:
            SM3Error: there is none, or it is damaged.
        """
        if not self.exists:
            raise self._no_grid()
        try:
            content: dict[str, Any] = plain_yaml.read(
                self.record_file, "record of a grid", SM3Error, plain_yaml.LARGEST_RECORD
            )
            plain_json.check_shape(content, SHAPE)
        except DataError as error:
            raise self._no_grid(error) from error
        return content

    def plan(self) -> Plan:
        """The plan.

        Raises:
            SM3Error: there is none, or it is damaged.
        """
        if not self.plan_file.is_file():
            raise self._no_grid()
        try:
            return Plan.of(self.plan_file.read_text("utf-8"))
        except (OSError, ValueError, DataError) as error:
            raise self._no_grid(error) from error

    def write(self, grid: dict[str, Any], plan: Plan) -> None:
        """Writes plan and record; the record last, so that it never speaks of an older plan."""
        with whole_file(self.plan_file, REMEDY) as part:
            part.write_text(plan.text(), "utf-8")
        with whole_file(self.record_file, REMEDY) as part:
            text = yaml.safe_dump(grid, sort_keys=False, allow_unicode=True, width=100)
            part.write_text(text, "utf-8")

    def record(self, key: str) -> TaskRecord:
        """What has become of a task; an empty record if nothing has."""
        try:
            table = plain_json.parse(self._record(key).read_text("utf-8"))
            plain_json.check_shape(table, RECORD)
            return TaskRecord(**table)
        except (OSError, ValueError, TypeError, DataError):
            return TaskRecord()

    def write_record(self, key: str, record: TaskRecord) -> None:
        """Notes what has become of a task; only who holds its lock may."""
        text = json.dumps(dataclasses.asdict(record), ensure_ascii=False) + "\n"
        with whole_file(self._record(key), REMEDY) as part:
            part.write_text(text, "utf-8")

    def note_failure(self, task: Task, reason: str) -> None:
        """Notes why a task failed; only who holds its lock may."""
        record = dataclasses.replace(self.record(task.key), title=task.title, failed=reason)
        self.write_record(task.key, record)

    def forget_failure(self, task: Task) -> None:
        """Lets a task be tried again if it failed; one that somebody works on has not."""
        if self.record(task.key).failed:
            with suppress(Timeout), self.lock(task.key).acquire(timeout=0):
                record = self.record(task.key)
                self.write_record(task.key, dataclasses.replace(record, failed=""))

    def remove_unfinished(self, key: str) -> None:
        """Removes what killed workers left half-written of a task; for who holds its lock.

        A run folder has its own lock, and cleans itself.
        """
        result = self.result(key).with_suffix("")
        for file in (self._record(key).with_suffix(""), result, result / "metrics.csv"):
            remove_unfinished(file)

    def _record(self, key: str) -> Path:
        return self.path / "stages" / f"{key}.json"

    def _no_grid(self, error: Exception | None = None) -> SM3Error:
        why = f" that can be read ({str(error).removesuffix('.')})" if error else ""
        return SM3Error(
            f"{self.path} holds no grid{why}. Give the folder that `sm3kit ablate --grid … --out` "
            "wrote."
        )


def process_name(number: int = 0) -> str:
    """How a process of this machine, by default this one, is called in records."""
    return f"{platform.node()}:{number or os.getpid()}"
