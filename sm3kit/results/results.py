"""What a grid has measured so far: the one thing that tables, pages and curves are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class RowResults:
    """All that is known of one row.

    Args:
        name: as in the grid, such as `sep_shared` or `lr=0.001`.
        recipes: names of its recipes in order; the last one with a published number counts.
        axes: {axis: value} of this row; empty in a table of named rows.
        records: {protocol: {seed: record}}, as `evaluate` returns and writes them.
        predictions: {protocol: {seed: file of predictions}}; none for "match".
        failed: {seed: reason} of the seeds that broke.
    """

    name: str
    recipes: tuple[str, ...] = ()
    axes: Mapping[str, Any] = field(default_factory=dict)
    records: Mapping[str, Mapping[int, Record]] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GridResults:
    """All rows of a grid, and what they have in common.

    Args:
        title: of the table.
        folder: of the grid; it is not printed anywhere.
        data: the specs of the data, such as `derm7pt:/data/derm7pt`.
        split: what is measured on.
        select: the rule by which an epoch is chosen.
        protocols: in the order of the tables.
        seeds: that are wanted of each row.
        baseline: name of the row that the others are compared with; empty if there is none.
        rows: in the order of the table.
        axes: {axis: values} of a study of hyper-parameters, one factor at a time; else empty.
    """

    title: str
    folder: Path
    data: tuple[str, ...]
    split: str
    select: str
    protocols: tuple[str, ...]
    seeds: tuple[int, ...]
    baseline: str
    rows: Sequence[RowResults]
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
