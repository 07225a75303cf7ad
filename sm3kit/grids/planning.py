"""From rows to a plan: which tasks each replicate needs, and which of them are the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from sm3kit.core.variant import Variant
from sm3kit.evaluation.settings import settings_of
from sm3kit.grids.grid import Grid
from sm3kit.grids.hashing import hashed
from sm3kit.grids.influence import for_stage1, for_stage2, key_of_training
from sm3kit.grids.plan import Plan, Replicate, Task
from sm3kit.grids.rows import Row


def plan_of(grid: Grid, rows: Sequence[Row]) -> Plan:
    """The plan of a grid: rows in order, the seeds of each together, one replicate after another."""
    replicates: list[Replicate] = []
    tasks: dict[str, Task] = {}
    for row in rows:
        for seed in grid.seeds:
            variant = dataclasses.replace(row.variant, seed=seed)
            title = f"{row.name}, seed {seed}"
            training = _training(variant, row.listing.hash, title)
            run = training[-1].key
            measuring = [_evaluation(grid, variant, name, run, title) for name in row.protocols]
            for task in [*training, *measuring]:
                tasks.setdefault(task.key, task)
            results = {task.kind: task.key for task in measuring}
            replicates.append(Replicate(row.name, seed, results))
    return Plan(replicates, tasks)


def _training(variant: Variant, listing: str, name: str) -> list[Task]:
    """The tasks that train one replicate."""
    chain: list[Task] = []
    parent = ""
    if variant.stage != "mlssl":
        first = for_stage1(variant)
        parent = key_of_training(first, listing)
        chain.append(Task(parent, "mmssl", "", _plain(first.as_dict()), name))
    if variant.stage != "mmssl":
        second = for_stage2(variant)
        if parent:
            # Its networks come from stage 1, whose key tells where these came from.
            second = dataclasses.replace(second, init="")
        key = key_of_training(second, listing, parent)
        chain.append(Task(key, "mlssl", parent, _plain(second.as_dict()), name))
    return chain


def _evaluation(grid: Grid, variant: Variant, protocol: str, run: str, name: str) -> Task:
    flags = {"split": grid.split}
    if protocol != "match":  # Nothing is selected there.
        flags["select"] = grid.select
    relation = variant.stage != "mmssl" and not variant.stage2.pseudo_labels
    settings = settings_of(variant, protocol, flags, relation=relation)  # type: ignore[arg-type]
    plain = _plain(dataclasses.asdict(settings))
    return Task(hashed({"run": run, "settings": plain}), protocol, run, plain, name)


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """As it is read again from JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain
