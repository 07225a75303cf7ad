"""Finds published numbers by name: table, row, metric and label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from functools import cache
from importlib import resources
from typing import Any

import yaml

from sm3kit.core.errors import UnknownName
from sm3kit.core.names import unknown
from sm3kit.published.rows import (
    MEAN,
    Label,
    PaperNumber,
    PaperRow,
    PaperTable,
    Published,
)

DATA = resources.files("sm3kit") / "published"
# Recipes of smaller networks, or without the images that a row learned from: no row of the paper
# was made with them.
REDUCED = ("quick", "small", "vit", "ssd-kd-internal")


def published_row(table: str, row: str) -> PaperRow:
    """The row of a table, by their names in the paper or by an alias, in any case.

    Raises:
        UnknownName: no such table, or no such row in it.
    """
    content: PaperTable = _pick("published table", table, load().tables)
    published: PaperRow = _pick(f"row in table {content.name}", row, content.rows)
    return published


def for_recipe(recipes: Iterable[str], metric: str = "auc") -> PaperRow | None:
    """The row with this metric that the last of the recipes makes which has one, else None.

    The numbers of the row are for its own `dataset` and `split`; whether these are the user's,
    the caller has to look.

    Args:
        recipes: names in order, such as the `recipe` of a variant.
        metric: `auc` for Tables 1 to 5, `mean_rank` for Table 6.

    Raises:
        UnknownName: no table has such a metric.
    """
    key = load().spellings.get(metric.lower(), metric)
    if key not in load().metrics:
        raise UnknownName(unknown("published metric", metric, load().metrics))
    rows = [row for table in load().tables.values() for row in table.rows.values()]
    made = {recipe: row for row in rows if key in row.cells for recipe in row.recipes}
    return next((made[name] for name in reversed(list(recipes)) if name in made), None)


def is_reduced(recipes: Iterable[str]) -> bool:
    """Whether a run stands on settings that its row of the paper cannot be compared with."""
    return not set(REDUCED).isdisjoint(recipes)


def source(rows: Iterable[PaperRow]) -> str:
    """Where the numbers of some rows come from.

    Args:
        rows: one at least.
    """
    rows = list(rows)
    splits, protocols, tables, selections = (
        sorted({str(getattr(row, name)) for row in rows})
        for name in ("split", "protocol", "table", "selection")
    )
    runs = sorted({row.runs for row in rows})
    return (
        f"Published: {load().citation}, table {', '.join(tables)}; Derm7pt, split "
        f"{', '.join(splits)}, {', '.join(protocols)}, {', '.join(map(str, runs))} run, "
        f"selection {' or '.join(selections)}."
    )


@cache
def load() -> Published:
    """All published tables, read once from the package."""
    paper = _read_file("paper.yaml")
    labels = {
        name: Label(name, counts.pop("reported"), counts)
        for name, counts in paper["labels"].items()
    }
    spellings = {alias.lower(): MEAN for alias in paper["mean_aliases"]}
    spellings |= {name.lower(): name for name in (MEAN, *labels)}
    for name, about in paper["metrics"].items():
        spellings |= {alias.lower(): name for alias in (name, *about.get("aliases", ()))}
    shared = {"dataset": paper["dataset"], "spellings": spellings}
    files = sorted(file.name for file in DATA.iterdir() if file.name.startswith("table_"))
    tables = [_table(_read_file(name), shared, labels, paper["metrics"]) for name in files]
    return Published(
        paper["citation"], paper["dataset"], paper["metrics"], labels, _fill(tables), spellings
    )


def _read_file(name: str) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load((DATA / name).read_bytes())
    return settings


def _table(
    content: dict[str, Any],
    shared: Mapping[str, Any],
    labels: Iterable[str],
    metrics: Mapping[str, Mapping[str, Any]],
) -> PaperTable:
    """A table from its file; `shared` is what all rows of all tables have."""
    about = {field.name for field in fields(PaperRow)}
    rows = {}
    for name, numbers in content["rows"].items():
        cells = {
            metric: _columns(numbers.get(metric), labels, metrics[metric]["decimals"])
            for metric in content["metrics"]
        }
        own = {key: value for key, value in numbers.items() if key in about}
        settings = {**shared, **content["defaults"], **own, "cells": cells}
        rows[name] = PaperRow(table=content["name"], name=name, **_freeze(settings))
    kept = {key: content.get(key, ()) for key in ("metrics", "remarks", "aliases")}
    return PaperTable(name=content["name"], title=content["title"], rows=rows, **_freeze(kept))


def _freeze(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
    }


def _columns(content: Any, labels: Iterable[str], decimals: int) -> dict[str, PaperNumber]:
    """{label or mean: cell}; a lone number is the mean."""
    columns = content if isinstance(content, dict) else {MEAN: content}
    cells = {}
    for name in (MEAN, *labels):
        number = columns.get(name)
        settings = number if isinstance(number, dict) else {"printed": number}
        cells[name] = PaperNumber(**settings, decimals=decimals)
    return cells


def _fill(tables: Iterable[PaperTable]) -> dict[str, PaperTable]:
    """The tables, their rows filled up from the rows that they are the same as."""
    known = {table.name: table for table in tables}
    for table in known.values():
        rows = dict(table.rows)
        for name, row in rows.items():
            if row.same_as:
                other = known[row.same_as["table"]].rows[row.same_as["row"]]
                rows[name] = replace(row, cells=_merge(row.cells, other.cells))
        known[table.name] = replace(table, rows=rows)
    return known


def _merge(
    own: Mapping[str, Mapping[str, PaperNumber]],
    other: Mapping[str, Mapping[str, PaperNumber]],
) -> dict[str, dict[str, PaperNumber]]:
    """All cells of the other row, but for those that have a number of their own."""
    merged = {metric: dict(columns) for metric, columns in other.items()}
    for metric, columns in own.items():
        merged[metric] |= {label: cell for label, cell in columns.items() if cell.value is not None}
    return merged


def _pick(noun: str, name: str, known: Mapping[str, Any]) -> Any:
    """What is known under a name or an alias."""
    spellings = {
        alias.lower(): entry for entry in known.values() for alias in (entry.name, *entry.aliases)
    }
    if name.lower() not in spellings:
        raise UnknownName(unknown(noun, name, known))
    return spellings[name.lower()]
