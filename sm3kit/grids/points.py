"""Axes become points: what varies beside the rows, all combinations or one factor at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from sm3kit.core.errors import VariantError
from sm3kit.core.kinds import KINDS
from sm3kit.core.names import unknown
from sm3kit.core.registry import registry
from sm3kit.core.variant import OF_STAGE_2, Variant
from sm3kit.grids.grid import Grid
from sm3kit.results.measured import value_text

Point = Mapping[str, Any]


def points(grid: Grid) -> Iterator[Point]:
    """The points of a grid, {axis: value} each; `{}` is the row as it stands.

    "one-at-a-time" gives the row as it stands, then each value of each axis alone, as in Fig. 5.
    """
    if grid.mode == "product":
        for combination in product(*grid.axes.values()):
            yield dict(zip(grid.axes, combination, strict=True))
        return
    yield {}
    for axis, values in grid.axes.items():
        for value in values:
            yield {axis: value}


def moved(variant: Variant, point: Point, source: str) -> Variant:
    """A variant at a point; an axis `one + other` moves several settings together.

    Args:
        source: the row, for messages.

    Raises:
        SM3Error: an unknown axis, or a value of another type.
    """
    for axis, value in point.items():
        about = f"{source}, axis {axis!r}"
        for setting in _settings(axis):
            owner, _, name = setting.rpartition(".")
            if owner in ("", "training"):
                changes: dict[str, Any] = {name: value}
            elif owner.partition(".")[0] == "evaluate":
                changes = {"evaluate": {owner.partition(".")[2]: {name: value}}}
            else:
                changes = {"options": {owner: {name: value}}}
            variant = variant.changed(changes, about)
    return variant


def value_at(variant: Variant, axis: str, source: str) -> Any:
    """The typed value that a resolved variant has on an axis.

    Raises:
        VariantError: a setting of the axis would change nothing, as the variant does not use it.
    """
    values = [_value(variant, one, f"{source}, axis {axis!r}") for one in _settings(axis)]
    return values[0]


def _value(variant: Variant, setting: str, source: str) -> Any:
    owner, _, name = setting.rpartition(".")
    if owner in ("", "training"):
        if variant.stage == "mmssl" and name in OF_STAGE_2:
            raise VariantError(f"{source} would change nothing: the row ends with stage 1.")
        value = getattr(variant, name)
        return list(value) if isinstance(value, tuple) else value
    if owner.partition(".")[0] == "evaluate":
        return variant.evaluate[owner.partition(".")[2]][name]
    if name in variant.options.get(owner, {}):
        return variant.options[owner][name]
    plugins = {one for family in KINDS for one in registry(family).names()}
    if owner not in plugins:
        raise VariantError(f"{source}: {unknown('plugin', owner, plugins)}")
    raise VariantError(
        f"{source} would change nothing: the row does not use {owner!r}. "
        f"It uses {', '.join(sorted(variant.options))}."
    )


def _settings(axis: str) -> list[str]:
    return [one.strip() for one in axis.split("+")]


def named(row: str, point: Point, *, alone: bool) -> str:
    """The name of a row at a point: `simclr lr=0.001`, or `lr=0.001` of the only row."""
    said = ", ".join(f"{axis}={value_text(value)}" for axis, value in point.items())
    return row if not said else said if alone else f"{row} {said}"
