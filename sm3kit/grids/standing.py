"""How a grid stands: what is done, what failed and why, what is left, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sm3kit.grids.folder import Folder, Record
from sm3kit.grids.plan import Cell, Plan, Stage


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
    """The state of some cells of a plan, as read from the folder at one moment."""

    def __init__(self, folder: Folder, plan: Plan, cells: Sequence[Cell] | None = None) -> None:
        self.plan, self.cells = plan, list(plan.cells if cells is None else cells)
        self.stages = plan.needed_by(self.cells)
        self.records: dict[str, Record] = {}
        self.done: set[str] = set()
        for stage in self.stages:
            self.records[stage.key] = record = folder.record(stage.key)
            if record.completions and folder.product(stage).is_file():
                self.done.add(stage.key)

    def reason(self, key: str) -> str:
        """Why a stage failed, or one before it; empty if none did."""
        if key in self.done:
            return ""
        found = [(one, self.records[one].failed) for one in self.plan.chain(key)]
        return next((self._told(one, key, said) for one, said in found if said), "")

    @cached_property
    def left(self) -> list[Stage]:
        """What is still to be done, in the order of work; nothing that has failed."""
        results = [key for cell in self.cells for key in cell.results.values()]
        wanted = {key for key in results if key not in self.done and not self.reason(key)}
        # A run that all evaluations are done of is no longer wanted.
        wanted |= {one for key in wanted for one in self.plan.chain(key)}
        return [stage for stage in self.stages if stage.key in wanted - self.done]

    def ready(self, stage: Stage) -> bool:
        """Whether all that a stage needs is done."""
        return not stage.parent or stage.parent in self.done

    @property
    def failures(self) -> list[tuple[Cell, str]]:
        """Cells that failed, with the first reason."""
        return [(cell, said) for cell in self.cells if (said := self._reason_of(cell))]

    def rows(self) -> list[RowStanding]:
        """The rows, in order."""
        found = []
        for name in dict.fromkeys(cell.row for cell in self.cells):
            cells = [cell for cell in self.cells if cell.row == name]
            done = sum(all(key in self.done for key in cell.results.values()) for cell in cells)
            failed = next((said for cell in cells if (said := self._reason_of(cell))), "")
            found.append(RowStanding(name, (done, len(cells)), self._aucs(cells), failed))
        return found

    def seconds_left(self, jobs: int = 1) -> float | None:
        """An estimate from the stages that are done, or None before there is one of each kind."""
        rates = {}
        for kind in {stage.kind for stage in self.left}:
            known = [
                (self.records[stage.key].seconds, max(stage.work, 1))
                for stage in self.plan.stages.values()
                if stage.kind == kind and stage.key in self.done and self.records[stage.key].whole
            ]
            # Networks that are only set up say nothing of training.
            known = [one for one in known if one[1] > 1] or known
            if not known:
                return None
            rates[kind] = sum(seconds for seconds, _ in known) / sum(work for _, work in known)
        return sum(rates[stage.kind] * max(stage.work, 1) for stage in self.left) / max(jobs, 1)

    def _aucs(self, cells: Sequence[Cell]) -> dict[str, float]:
        table: dict[str, list[float]] = {}
        for cell in cells:
            for protocol, key in cell.results.items():
                auc = self.records[key].auc
                if key in self.done and auc is not None:
                    table.setdefault(protocol, []).append(auc)
        return {protocol: sum(found) / len(found) for protocol, found in table.items()}

    def _reason_of(self, cell: Cell) -> str:
        return next((said for key in cell.results.values() if (said := self.reason(key))), "")

    def _told(self, where: str, key: str, said: str) -> str:
        return said if where == key else f"{self.plan.stages[where].title}: {said}"
