"""Axes become points: what varies beside the rows, all combinations or one factor at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from sm3kit.core.errors import VariantError
from sm3kit.core.names import unknown
from sm3kit.core.variant import OF_STAGE_2, Variant, table_at
from sm3kit.grids.grid import Grid
from sm3kit.networks.plugins_in_use import plugin_names
from sm3kit.results.measured import value_text
from sm3kit.runs.recipes import Layer

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


def layers_at(point: Point, source: str) -> list[Layer]:
    """What a point sets; an axis `simclr.temperature + crossmodal.temperature` sets both alike.

    Args:
        source: the row, for messages.
    """
    return [
        Layer(table_at(address, value), f"{source}, axis {axis!r}")
        for axis, value in point.items()
        for address in _addresses(axis)
    ]


def value_at(variant: Variant, axis: str, source: str) -> Any:
    """The typed value that a resolved variant has on an axis.

    Raises:
        VariantError: a setting of the axis would change nothing, as the variant does not use it.
    """
    values = [_value(variant, one, f"{source}, axis {axis!r}") for one in _addresses(axis)]
    return values[0]


def _value(variant: Variant, address: str, source: str) -> Any:
    if variant.stage == "mmssl" and address.partition(".")[0] in OF_STAGE_2:
        raise VariantError(f"{source} would change nothing: the row ends with stage 1.")
    with contextlib.suppress(KeyError):
        value = variant.at(address)
        return list(value) if isinstance(value, tuple) else value
    owner, plugins = address.rpartition(".")[0], plugin_names()
    if owner not in plugins:
        raise VariantError(f"{source}: {unknown('plugin', owner, plugins)}")
    raise VariantError(
        f"{source} would change nothing: the row does not use {owner!r}. "
        f"It uses {', '.join(sorted(variant.options))}."
    )


def _addresses(axis: str) -> list[str]:
    return [one.strip() for one in axis.split("+")]


def named(row: str, point: Point, *, alone: bool) -> str:
    """The name of a row at a point: `simclr lr=0.001`, or `lr=0.001` of the only row."""
    said = ", ".join(f"{axis}={value_text(value)}" for axis, value in point.items())
    return row if not said else said if alone else f"{row} {said}"
