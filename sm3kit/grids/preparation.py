"""A grid is checked, compared with what its folder holds, and laid down there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sm3kit import __version__
from sm3kit.core.errors import VariantError
from sm3kit.core.files import remove_unfinished
from sm3kit.core.kinds import KINDS
from sm3kit.core.registry import registry
from sm3kit.grids.folder import Folder
from sm3kit.grids.grid import Grid, as_names, parse
from sm3kit.grids.listing import list_data
from sm3kit.grids.plan import Plan, hash_of
from sm3kit.runs import recipes
from sm3kit.runs.recipes import Base

if TYPE_CHECKING:
    from sm3kit.grids.rows import GridRow

Record = Mapping[str, Any]
# How to compute or to watch, not what.
HARMLESS = ("machine.workers", "stage1.monitor_every", "logger")
SHOWN = 6


def prepare(grid: Grid, folder: Folder, *, write: bool) -> Plan:
    """The plan of a grid in its folder, once everything in it has been looked up.

    A folder may hold the grid already; rows, seeds and protocols may have been added since.

    Args:
        write: whether the folder is made, or brought up to date.

    Raises:
        SM3Error: something in the grid is wrong, or the folder holds another grid.
    """
    if (folder.path / "variant.yaml").is_file():
        raise VariantError(f"{folder.path} holds a run, not a grid. Give another --out.")
    while True:
        before = folder.grid() if folder.exists else None
        if before:
            grid = _with_what_it_had(grid, before)
            if _is_the_same(grid, before):
                return folder.plan()
        # torch is imported only where there is something to look up.
        from sm3kit.grids.planning import plan_of
        from sm3kit.grids.rows import rows_of
        from sm3kit.training.hardware import base_for_own_data

        # Rows that are added on another machine stand on the base of those before.
        own_data = Base(_base_of(before), "") if before else base_for_own_data()
        rows = rows_of(grid, own_data)
        after = {**_record(grid, rows), "own_data": own_data.name}
        if before:
            _refuse(_contradictions(before, after), folder)
        notes = folder.plan().notes if before else _notes(rows, own_data)
        plan = dataclasses.replace(plan_of(grid, rows), notes=notes)
        if not write or _write(folder, before, after, plan):
            return plan


def _write(
    folder: Folder, before: dict[str, Any] | None, after: dict[str, Any], plan: Plan
) -> bool:
    """Writes record and plan, unless somebody else has written others since `before`."""
    with folder.lock("grid"):
        if (folder.grid() if folder.exists else None) != before:
            return False
        for file in (folder.plan_file, folder.record_file):
            remove_unfinished(file)
        folder.write(after, plan)
        return True


def grid_of(folder: Folder) -> Grid:
    """The grid that a folder was begun with, as its file was written.

    Raises:
        SM3Error: there is none.
    """
    content = folder.grid()
    return parse(content["grid"], content["source"], str(folder.record_file))


def _notes(rows: list[GridRow], own_data: Base) -> tuple[str, ...]:
    """Why rows on own data do not have the released settings, if there are such rows."""
    if own_data == recipes.RELEASED or not any(own_data.why in row.origin for row in rows):
        return ()
    return (f"Your own data start from the recipe {own_data.name}, because {own_data.why}.",)


def _base_of(before: Record) -> str:
    """The base of own data in a grid that was begun; earlier versions had one alone."""
    return str(before.get("own_data", recipes.RELEASED.name))


def _with_what_it_had(grid: Grid, before: Record) -> Grid:
    """The grid with the seeds and protocols that its folder has already."""
    source = before["source"]
    seeds = sorted({*source["seeds"], *grid.seeds})
    protocols = tuple(source["protocols"]) and tuple(
        dict.fromkeys([*source["protocols"], *grid.protocols])
    )
    return dataclasses.replace(grid, seeds=tuple(seeds), protocols=protocols or grid.protocols)


def _is_the_same(grid: Grid, before: Record) -> bool:
    """Whether nothing has changed, in the grid, in what is installed, or in the data."""
    return before["request"] == _request(grid) and all(
        list_data(old["data"], old["options"]).hash == old["hash"] for old in before["listings"]
    )


def _request(grid: Grid) -> str:
    """The hash of all that rows are resolved from."""
    tables = (grid.base, *grid.rows.values())
    used = {name for table in tables for name in as_names(table.get("recipe"))}
    plugins = [str(line) for family in KINDS for line in registry(family).declarations()]
    return hash_of(
        {
            "grid": grid.source(),
            "order": [*grid.rows, *grid.axes],
            "recipes": {name: recipes.load(name) for name in used},
            "bases": [recipes.load(name) for name in recipes.DEFAULT_BASES],
            "plugins": plugins,
        }
    )


def _record(grid: Grid, rows: list[GridRow]) -> dict[str, Any]:
    """The content of grid.yaml."""
    listings = {row.listing.hash: row.listing for row in rows}
    protocols = dict.fromkeys(name for row in rows for name in row.protocols)
    return {
        "title": grid.title,
        "grid": grid.name,
        "sm3kit": __version__,
        "request": _request(grid),
        "data": list(dict.fromkeys(spec for data in listings.values() for spec in data.data)),
        "split": grid.split,
        "select": grid.select,
        "baseline": _baseline(grid, rows),
        "metric": grid.metric,
        "seeds": list(grid.seeds),
        "protocols": list(protocols),
        "axes": _axis_values(rows) if grid.mode == "one-at-a-time" else {},
        "listings": [data.as_dict() for data in listings.values()],
        "rows": {row.name: _entry(row) for row in rows},
        "source": grid.source(),
    }


def _entry(row: GridRow) -> dict[str, Any]:
    own = row.variant.as_dict()
    settings = {name: own[name] for name in own if name not in ("recipe", "data", "seed")}
    settings |= {"teacher": row.teacher} if row.teacher else {}
    return {
        "recipe": list(row.recipes),
        "axes": dict(row.axes),
        "protocols": list(row.protocols),
        "listing": row.listing.hash,
        "settings": settings,
    }


def _baseline(grid: Grid, rows: list[GridRow]) -> str:
    """The name of the row to compare with: of several points of it, the first."""
    return next((row.name for row in rows if row.row == grid.baseline), "")


def _axis_values(rows: list[GridRow]) -> dict[str, list[Any]]:
    axes: dict[str, list[Any]] = {}
    for row in rows:
        for axis, value in row.axes.items():
            if value not in axes.setdefault(axis, []):
                axes[axis].append(value)
    return axes


def _refuse(changes: list[str], folder: Folder) -> None:
    if not changes:
        return
    more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    raise VariantError(
        f"{folder.path} was started with a different grid: {'; '.join(changes[:SHOWN])}{more}. "
        "Only rows, seeds and protocols may be added: restore the grid, or give another --out."
    )


def _contradictions(before: Record, after: Record) -> list[str]:
    """A clause for each change between two records that may not be; what is added may."""
    clauses = [
        f"its {what} was {before[name]}, not {after[name]}"
        for name, what in (("sm3kit", "sm3kit"), ("split", "split"), ("select", "selection"))
        if before[name] != after[name]
    ]
    clauses += _changes_of_data(before, after)
    for name, old in before["rows"].items():
        new = after["rows"].get(name)
        if new is None:
            clauses.append(f"row {name!r} was removed")
            continue
        gone = [protocol for protocol in old["protocols"] if protocol not in new["protocols"]]
        clauses += [f"row {name!r} had the protocol {protocol}" for protocol in gone]
        was, now = _flat(old["settings"]), _flat(new["settings"])
        clauses += [
            f"row {name!r}: {key} was {_text(was, key)}, not {_text(now, key)}"
            for key in dict.fromkeys([*was, *now])
            if was.get(key) != now.get(key) and key not in HARMLESS
        ]
    return clauses


def _changes_of_data(before: Record, after: Record) -> list[str]:
    """A clause for each data set that lists other studies than it did."""
    old, new = ({data["hash"]: data for data in it["listings"]} for it in (before, after))
    clauses = []
    for name, row in before["rows"].items():
        key = after["rows"].get(name, row)["listing"]
        if key == row["listing"]:
            continue
        was, now = old[row["listing"]], new[key]
        clause = f"the data were {_studies(was)}, and are {_studies(now)}"
        if (was["data"], was["studies"]) == (now["data"], now["studies"]):
            clause += ": ids, files, labels or splits differ"
        clauses.append(clause)
    return list(dict.fromkeys(clauses))


def _studies(data: Record) -> str:
    counts = ", ".join(f"{split} {count}" for split, count in data["studies"].items())
    return f"{' + '.join(data['data'])} with {counts} studies (listing {data['hash']})"


def _flat(settings: Record, above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        path = f"{above}{name}"
        flat |= _flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return flat


def _text(settings: Record, key: str) -> str:
    return repr(settings[key]) if key in settings else "not set"
