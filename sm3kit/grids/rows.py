"""Rows of a grid become variants, checked before anything is trained."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sm3kit.core.errors import SM3Error, VariantError
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.evaluation.settings import settings_of
from sm3kit.grids.grid import Grid
from sm3kit.grids.influence import with_used_options
from sm3kit.grids.listing import Listing, listing
from sm3kit.grids.points import Point, layers_at, named, points, value_at
from sm3kit.networks.assemble import build_pool
from sm3kit.networks.plugins_in_use import plugin_names, plugins_in_use
from sm3kit.runs import recipes
from sm3kit.runs.recipes import BUILT_IN_DATA, Layer


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: of the row, with the point if there is one.
        row: its name in the grid.
        recipes: in order, for the published numbers.
        axes: {axis: value} of its point.
        variant: all choices, resolved; its seed counts for nothing.
        protocols: how it is evaluated.
        listing: its data.
    """

    name: str
    row: str
    recipes: tuple[str, ...]
    axes: Mapping[str, Any]
    variant: Variant
    protocols: tuple[str, ...]
    listing: Listing


@dataclass
class Looked:
    """Listings and pools that were opened already: rows share them."""

    listings: dict[str, Listing] = field(default_factory=dict)
    pools: set[str] = field(default_factory=set)


def rows_of(grid: Grid) -> list[Row]:
    """All rows of a grid, at all of its points.

    Raises:
        SM3Error: an unknown row, recipe, setting, option or protocol, two rows of one name, or
            data that cannot be listed.
    """
    looked, found = Looked(), []
    for row, settings in grid.rows.items():
        for point in points(grid):
            source = f"row {row!r}"
            try:
                found.append(_row(grid, row, settings, point, looked))
            except SM3Error as error:
                text = str(error)
                head = "" if text.startswith(source) else f"{source}: "
                raise VariantError(head + text) from error
    twice = [name for name, count in Counter(row.name for row in found).items() if count > 1]
    if twice:
        raise VariantError(
            f"Two rows of grid {grid.name!r} are called {twice[0]!r}. "
            "Does an axis have a value twice?"
        )
    return found


def _row(grid: Grid, row: str, settings: Mapping[str, Any], point: Point, looked: Looked) -> Row:
    source = f"row {row!r}"
    chosen = _variant(grid, settings, point, source)
    own = _listed(chosen, looked)
    variant = with_used_options(chosen)
    axes = {axis: value_at(variant, axis, source) for axis in point}
    protocols = _names(settings.get("protocols", grid.protocols)) or (variant.protocol,)
    if len(variant.modality or own.modalities) < 2:
        # One image alone has no partner to be matched with.
        protocols = tuple(name for name in protocols if name != "match")
        if not protocols:
            raise VariantError(f"{source} has one modality, and match wants two. Leave it out.")
    for name in protocols:
        settings_of(variant, name, {}, relation=variant.stage != "mmssl")  # type: ignore[arg-type]
    name = named(row, axes, alone=len(grid.rows) == 1)
    return Row(name, row, variant.recipe, axes, variant, protocols, own)


def _variant(grid: Grid, settings: Mapping[str, Any], point: Point, source: str) -> Variant:
    """A row at a point: the point over the row, over its recipes, over the grid's base.

    Which data it is, is for the grid to say, or for the row itself, but not for its recipes.
    """
    own = {name: value for name, value in settings.items() if name != "protocols"}
    if "seed" in own:
        raise VariantError(f"{source} sets the seed, which the grid's seeds set for all rows.")
    data = grid.data or grid.base.get("data") or (BUILT_IN_DATA,)
    layers = [Layer(grid.base, "base"), Layer({"data": data} | own, source)]
    return recipes.resolve(*layers, *layers_at(point, source))[0]


def _listed(variant: Variant, looked: Looked) -> Listing:
    """The listing of a variant's data; opens them as a run would, once for all rows alike."""
    used = {name for family, name in plugins_in_use(variant) if family == "datasets"}
    own = {name: values for name, values in variant.options.items() if name in used}
    of_data = json.dumps([variant.data, own], default=str)
    if of_data not in looked.listings:
        looked.listings[of_data] = listing(variant.data, own)
    found = looked.listings[of_data]
    facts = [found.as_dict(), variant.map, variant.modality, sorted(variant.options)]
    others = plugin_names() - {*registry("datasets").names(), *registry("modalities").names()}
    views = {name: values for name, values in variant.options.items() if name not in others}
    of_pool = json.dumps([*facts, views], default=str)
    if of_pool not in looked.pools:
        build_pool(variant)
        looked.pools.add(of_pool)
    return found


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(one) for one in value or ())
