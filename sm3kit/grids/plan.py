"""The plan of a grid: cells, and the distinct stages that they share, in the order of work."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sm3kit.core.errors import DataError
from sm3kit.core.plain_json import check_shape, parse

STAGE = {"key": str, "kind": str, "parent": str, "settings": dict, "name": str}
CELL = {"row": str, "seed": int, "results": {"*": str}}
SHAPE = {"cells": [CELL], "stages": [STAGE]}
TRAINING = {"mmssl": "stage 1", "mlssl": "stage 2"}


@dataclass(frozen=True)
class Stage:
    """A piece of work that is done once, however many cells need it.

    Attributes:
        key: the hash of all that influences it.
        kind: "mmssl", "mlssl", or a protocol.
        parent: the key of the stage that it starts from; empty for none.
        settings: of a variant, or of an evaluation.
        name: for people, of the first cell that needs it.
    """

    key: str
    kind: str
    parent: str
    settings: Mapping[str, Any]
    name: str

    @property
    def trains(self) -> bool:
        """Whether it leaves a run, not a result."""
        return self.kind in TRAINING

    @property
    def work(self) -> int:
        """Epochs, by which the time of stages of one kind is compared; 1 if it has none."""
        columns = {"mmssl": "epochs", "mlssl": "mlssl_epochs", "probe": "epochs"}
        columns["finetune"] = "epochs"
        return int(self.settings[columns[self.kind]]) if self.kind in columns else 1

    @property
    def title(self) -> str:
        """For people: "sep_sep, seed 0: stage 1"."""
        return f"{self.name}: {TRAINING.get(self.kind, self.kind)}"


@dataclass(frozen=True)
class Cell:
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
        cells: rows in order, the seeds of each together.
        stages: {key: stage}, parents before children, the stages of a cell together.
    """

    cells: Sequence[Cell]
    stages: Mapping[str, Stage]

    def chain(self, key: str) -> list[str]:
        """A stage and all that it needs, the first one first."""
        found = [key]
        while self.stages[found[0]].parent:
            found.insert(0, self.stages[found[0]].parent)
        return found

    def needed_by(self, cells: Iterable[Cell]) -> list[Stage]:
        """The stages that some cells need, in the order of work."""
        keys = {key for cell in cells for last in cell.results.values() for key in self.chain(last)}
        return [stage for key, stage in self.stages.items() if key in keys]

    def text(self) -> str:
        """The plan as JSON."""
        plain = {
            "cells": [dataclasses.asdict(cell) for cell in self.cells],
            "stages": [dataclasses.asdict(stage) for stage in self.stages.values()],
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
        cells = [Cell(**{name: one[name] for name in CELL}) for one in plain["cells"]]
        stages = [Stage(**{name: one[name] for name in STAGE}) for one in plain["stages"]]
        known = {""}
        for stage in stages:
            if stage.parent not in known:
                raise DataError(f"the parent of stage {stage.key} is not in it.")
            known.add(stage.key)
        if not {key for cell in cells for key in cell.results.values()} <= known - {""}:
            raise DataError("the stages of its cells are not in it.")
        return Plan(cells, {stage.key: stage for stage in stages})
