"""What a grid has measured so far, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sm3kit.evaluation.record_file import read_record
from sm3kit.grids.folder import MAKE_ANEW, Folder
from sm3kit.grids.plan import Cell
from sm3kit.grids.standing import Standing
from sm3kit.results.results import GridResults, RowResults


def collect(folder: Path) -> GridResults:
    """The results of a grid, those that are there.

    Raises:
        SM3Error: the folder holds no grid, or a result in it is damaged.
    """
    home = Folder(folder)
    grid, plan = home.grid(), home.plan()
    standing = Standing(home, plan)
    rows = [
        _row(home, standing, name, about, [cell for cell in plan.cells if cell.row == name])
        for name, about in grid["rows"].items()
    ]
    return GridResults(
        title=grid["title"],
        folder=folder,
        data=tuple(grid["data"]),
        split=grid["split"],
        select=grid["select"],
        protocols=tuple(grid["protocols"]),
        seeds=tuple(grid["seeds"]),
        baseline=grid["baseline"],
        rows=rows,
        axes=grid["axes"],
    )


def _row(
    home: Folder, standing: Standing, name: str, about: Mapping[str, Any], cells: list[Cell]
) -> RowResults:
    records: dict[str, dict[int, dict[str, Any]]] = {}
    predictions: dict[str, dict[int, Path]] = {}
    failed: dict[int, str] = {}
    for cell in cells:
        for protocol, key in cell.results.items():
            file = home.result(key)
            if key in standing.done:
                record = read_record(file, MAKE_ANEW)
                records.setdefault(protocol, {})[cell.seed] = record
                scores = file.with_suffix(".predictions.npz")
                if scores.is_file():
                    predictions.setdefault(protocol, {})[cell.seed] = scores
            elif reason := standing.reason(key):
                failed.setdefault(cell.seed, reason)
    return RowResults(name, tuple(about["recipe"]), about["axes"], records, predictions, failed)
