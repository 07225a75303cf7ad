"""The plan of a grid: replicates, and the distinct tasks that they share, in the order of work."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sm3kit import __version__
from sm3kit.core.errors import DataError
from sm3kit.core.plain_json import check_shape, parse
from sm3kit.core.stage_settings import STAGE_TITLES

TASK = {"key": str, "kind": str, "parent": str, "settings": dict, "name": str}
REPLICATE = {"row": str, "seed": int, "results": {"*": str}}
SHAPE = {"cells": [REPLICATE], "stages": [TASK], "notes?": [str]}


@dataclass(frozen=True)
class Task:
    """A piece of work that is done once, however many replicates need it.

    Attributes:
        key: the hash of all that influences it.
        kind: "mmssl", "mlssl", or a protocol.
        parent: the key of the task that it starts from; empty for none.
        settings: of a variant, or of an evaluation.
        name: for people, of the first replicate that needs it.
    """

    key: str
    kind: str
    parent: str
    settings: Mapping[str, Any]
    name: str

    @property
    def trains(self) -> bool:
        """Whether it leaves a run, not a result."""
        return self.kind in STAGE_TITLES

    @property
    def work(self) -> int:
        """Epochs, by which the time of tasks of one kind is compared; 1 if it has none."""
        parts = {"mmssl": "stage1", "mlssl": "stage2"}
        if self.kind in parts:
            return int(self.settings[parts[self.kind]]["epochs"])
        return int(self.settings["epochs"]) if self.kind in ("probe", "finetune") else 1

    @property
    def title(self) -> str:
        """For people: "sep_sep, seed 0: stage 1"."""
        return f"{self.name}: {STAGE_TITLES.get(self.kind, self.kind)}"


@dataclass(frozen=True)
class Replicate:
    """One seed of one row.

    Attributes:
        row: the name of the row.
        seed: its seed.
        results: {protocol: key of the evaluation}.
    """

    row: str
    seed: int
    results: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """All work of a grid.

    Attributes:
        replicates: rows in order, the seeds of each together.
        tasks: {key: task}, parents before children, the tasks of a replicate together.
        notes: sentences on how its settings were chosen.
    """

    replicates: Sequence[Replicate]
    tasks: Mapping[str, Task]
    notes: tuple[str, ...] = ()

    def chain(self, key: str) -> list[str]:
        """A task and all that it needs, the first one first."""
        keys = [key]
        while self.tasks[keys[0]].parent:
            keys.insert(0, self.tasks[keys[0]].parent)
        return keys

    def keys_of(self, replicate: Replicate) -> set[str]:
        """The keys of all tasks that a replicate needs."""
        return {key for result in replicate.results.values() for key in self.chain(result)}

    def needed_by(self, replicates: Iterable[Replicate]) -> list[Task]:
        """The tasks that some replicates need, in the order of work."""
        keys = {key for replicate in replicates for key in self.keys_of(replicate)}
        return [task for key, task in self.tasks.items() if key in keys]

    def text(self) -> str:
        """The plan as JSON."""
        plain = {
            "cells": [dataclasses.asdict(replicate) for replicate in self.replicates],
            "stages": [dataclasses.asdict(task) for task in self.tasks.values()],
            "notes": list(self.notes),
        }
        return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"

    @staticmethod
    def of(text: str) -> Plan:
        """The plan that `text` wrote.

        Raises:
            DataError: it is none.
        """
        plain = parse(text)
        check_shape(plain, SHAPE)
        replicates = [Replicate(**{n: entry[n] for n in REPLICATE}) for entry in plain["cells"]]
        tasks = [Task(**{name: entry[name] for name in TASK}) for entry in plain["stages"]]
        known = {""}
        for task in tasks:
            if task.parent not in known:
                raise DataError(f"the parent of stage {task.key} is not in it.")
            known.add(task.key)
        results = {key for replicate in replicates for key in replicate.results.values()}
        if not results <= known - {""}:
            raise DataError("the stages of its cells are not in it.")
        return Plan(replicates, {task.key: task for task in tasks}, tuple(plain.get("notes", ())))


def hash_of(facts: Mapping[str, Any]) -> str:
    """16 hex digits for facts and the version of sm3kit."""
    text = json.dumps({"sm3kit": __version__, **facts}, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
