"""From rows to a plan: which stages each cell needs, and which of them are the same."""

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
from sm3kit.grids.plan import Cell, Plan, Stage
from sm3kit.grids.rows import Row


def plan_of(grid: Grid, rows: Sequence[Row]) -> Plan:
    """The plan of a grid: rows in order, the seeds of each together, a cell from end to end."""
    cells: list[Cell] = []
    stages: dict[str, Stage] = {}
    for row in rows:
        for seed in grid.seeds:
            variant = dataclasses.replace(row.variant, seed=seed)
            name = f"{row.name}, seed {seed}"
            training = _training(variant, row.listing.hash, name)
            run = training[-1].key
            tested = [_evaluation(grid, variant, one, run, name) for one in row.protocols]
            for stage in [*training, *tested]:
                stages.setdefault(stage.key, stage)
            cells.append(Cell(row.name, seed, {stage.kind: stage.key for stage in tested}))
    return Plan(cells, stages)


def _training(variant: Variant, listing: str, name: str) -> list[Stage]:
    """The stages that train one cell."""
    chain: list[Stage] = []
    parent = ""
    if variant.stage != "mlssl":
        first = for_stage1(variant)
        parent = key_of_training(first, listing)
        chain.append(Stage(parent, "mmssl", "", _plain(first.as_dict()), name))
    if variant.stage != "mmssl":
        second = for_stage2(variant)
        if parent:
            # Its networks come from stage 1, whose key tells where these came from.
            second = dataclasses.replace(second, init="")
        key = key_of_training(second, listing, parent)
        chain.append(Stage(key, "mlssl", parent, _plain(second.as_dict()), name))
    return chain


def _evaluation(grid: Grid, variant: Variant, protocol: str, run: str, name: str) -> Stage:
    flags = {"split": grid.split}
    if protocol != "match":  # Nothing is selected there.
        flags["select"] = grid.select
    relation = variant.stage != "mmssl" and not variant.pseudo_labels
    settings = settings_of(variant, protocol, flags, relation=relation)  # type: ignore[arg-type]
    plain = _plain(dataclasses.asdict(settings))
    return Stage(hashed({"run": run, "settings": plain}), protocol, run, plain, name)


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """As it is read again from JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain
