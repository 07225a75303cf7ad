"""Rows of a grid become variants at each point of its axes, checked before anything is trained."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from sm3kit.core.errors import SM3Error, VariantError
from sm3kit.core.names import unknown_plugin
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant, table_at
from sm3kit.evaluation.choices import check_choices
from sm3kit.evaluation.settings import settings_of
from sm3kit.grids.grid import Grid, as_names
from sm3kit.grids.listing import Listing, list_data
from sm3kit.grids.planning import with_drops, with_subject, with_used_options
from sm3kit.grids.teaching import check_teacher, teacher_of
from sm3kit.networks.assemble import build_pool
from sm3kit.networks.plugins_in_use import plugin_names, plugins_in_use
from sm3kit.results.numbers import value_text
from sm3kit.runs import recipes
from sm3kit.runs.recipes import BUILT_IN_DATA, RELEASED, Base, Layer
from sm3kit.training.pseudo_labels.features import feature_source

# What a row says beside the settings of its variant.
OF_A_ROW = ("protocols", "teacher")
# {axis: value}; `{}` is the row as it stands.
Point = Mapping[str, Any]


@dataclass(frozen=True)
class GridRow:
    """One line of the table.

    Attributes:
        name: of the row, with the point if there is one.
        row: its name in the grid.
        recipes: in order, for the published numbers.
        axes: {axis: value} of its point.
        variant: all choices, resolved; its seed counts for nothing.
        protocols: how it is evaluated, in words such as "probe" and "probe without clinic".
        listing: its data.
        modalities: of its pool, after `map` and `modality`.
        origin: where its settings come from, in a clause.
        teacher: the row of the grid whose fine-tuned networks teach it; empty for none.
    """

    name: str
    row: str
    recipes: tuple[str, ...]
    axes: Mapping[str, Any]
    variant: Variant
    protocols: tuple[str, ...]
    listing: Listing
    modalities: tuple[str, ...]
    origin: str
    teacher: str = ""


@dataclass
class Lookups:
    """What rows share: the base for own data, listings, and the modalities of pools so far."""

    own_data: Base
    listings: dict[str, Listing] = field(default_factory=dict)
    pools: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def data_of(self, variant: Variant) -> tuple[Listing, tuple[str, ...]]:
        """The listing of a variant's data, and the modalities of its pool.

        Opens the data as a run would, once for all rows alike.
        """
        used = {name for family, name in plugins_in_use(variant) if family == "datasets"}
        own = {name: values for name, values in variant.options.items() if name in used}
        of_data = json.dumps([variant.data, own], default=str)
        if of_data not in self.listings:
            self.listings[of_data] = list_data(variant.data, own)
        listing = self.listings[of_data]
        facts = [listing.as_dict(), variant.map, variant.modality, sorted(variant.options)]
        others = plugin_names() - {*registry("datasets").names(), *registry("modalities").names()}
        views = {name: values for name, values in variant.options.items() if name not in others}
        of_pool = json.dumps([*facts, views], default=str)
        if of_pool not in self.pools:
            self.pools[of_pool] = tuple(build_pool(variant).modalities)
        return listing, self.pools[of_pool]


def rows_of(grid: Grid, own_data: Base = RELEASED) -> list[GridRow]:
    """All rows of a grid, at all of its points.

    Args:
        grid: what was asked for.
        own_data: the base for data that are not built in.

    Raises:
        SM3Error: an unknown row, recipe, setting, option, protocol or modality, two rows of one
            name, or data that cannot be listed.
    """
    lookups, rows = Lookups(own_data), []
    for name, settings in grid.rows.items():
        for point in points(grid):
            source = f"row {name!r}"
            try:
                rows.append(_row(grid, name, settings, point, lookups))
            except SM3Error as error:
                text = str(error)
                head = "" if text.startswith(source) else f"{source}: "
                raise VariantError(head + text) from error
    twice = [name for name, count in Counter(row.name for row in rows).items() if count > 1]
    if twice:
        raise VariantError(
            f"Two rows of grid {grid.name!r} are called {twice[0]!r}. "
            "Does an axis have a value twice?"
        )
    for row in rows:
        teacher_of(row, rows)
    return with_drops(rows, grid)


def points(grid: Grid) -> Iterator[Point]:
    """The points of a grid.

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


def name_at(row: str, point: Point, *, alone: bool) -> str:
    """The name of a row at a point: `simclr lr=0.001`, or `lr=0.001` of the only row."""
    text = ", ".join(f"{axis}={value_text(value)}" for axis, value in point.items())
    return row if not text else text if alone else f"{row} {text}"


def _row(
    grid: Grid, row: str, settings: Mapping[str, Any], point: Point, lookups: Lookups
) -> GridRow:
    source = f"row {row!r}"
    chosen, origin = _variant(grid, settings, point, source, lookups.own_data)
    listing, modalities = lookups.data_of(chosen)
    variant = with_used_options(chosen)
    feature_source(variant)  # Refused now, not when stage 1 has been trained.
    protocols = as_names(settings.get("protocols", grid.protocols)) or (variant.protocol,)
    protocols = with_subject(protocols, variant, modalities, source)
    variant = _with_options_of_evaluations(variant, chosen, protocols)
    axes = {axis: _value_at(variant, axis, source) for axis in point}
    teacher = str(settings.get("teacher") or "")
    check_teacher(variant, teacher, source)
    name = name_at(row, axes, alone=len(grid.rows) == 1)
    return GridRow(
        name, row, variant.recipe, axes, variant, protocols, listing, modalities, origin, teacher
    )


def _with_options_of_evaluations(
    variant: Variant, chosen: Variant, protocols: Iterable[str]
) -> Variant:
    """A variant with the options of the classifiers, losses and samplers of its evaluations.

    Args:
        variant: with the options that its training uses alone.
        chosen: the same with all options that were set.
        protocols: how it is evaluated.

    Raises:
        SM3Error: an unknown setting, plugin or option, or choices that do not go together.
    """
    options = dict(variant.options)
    for name in protocols:
        relation = variant.stage != "mmssl"
        settings = settings_of(chosen, name, {}, relation=relation)  # type: ignore[arg-type]
        check_choices(settings)
        options |= settings.options
    return dataclasses.replace(variant, options=options)


def _variant(
    grid: Grid, settings: Mapping[str, Any], point: Point, source: str, own_data: Base
) -> tuple[Variant, str]:
    """A row at a point, and where its settings come from.

    The point lies over the row, over its recipes, over the grid's base.

    Which data it is, is for the grid to say, or for the row itself, but not for its recipes.
    """
    own = {name: value for name, value in settings.items() if name not in OF_A_ROW}
    if "seed" in own:
        raise VariantError(f"{source} sets the seed, which the grid's seeds set for all rows.")
    data = grid.data or grid.base.get("data") or (BUILT_IN_DATA,)
    layers = [Layer(grid.base, "base"), Layer({"data": data} | own, source)]
    layers += [
        Layer(table_at(address, value), f"{source}, axis {axis!r}")
        for axis, value in point.items()
        for address in _addresses(axis)
    ]
    return recipes.resolve(*layers, own_data=own_data)


def _addresses(axis: str) -> list[str]:
    """The settings of an axis: `simclr.temperature + crossmodal.temperature` moves two alike."""
    return [address.strip() for address in axis.split("+")]


def _value_at(variant: Variant, axis: str, source: str) -> Any:
    """The typed value that a resolved variant has on an axis.

    Raises:
        VariantError: a setting of the axis would change nothing, as the variant does not use it.
    """
    about = f"{source}, axis {axis!r}"
    return [_value(variant, address, about) for address in _addresses(axis)][0]


def _value(variant: Variant, address: str, source: str) -> Any:
    if variant.stage == "mmssl" and variant.only_stage2_reads(address):
        raise VariantError(f"{source} would change nothing: the row ends with stage 1.")
    with contextlib.suppress(KeyError):
        value = variant.at(address)
        return list(value) if isinstance(value, tuple) else value
    owner, plugins = address.rpartition(".")[0], plugin_names()
    if owner not in plugins:
        raise VariantError(f"{source}: {unknown_plugin('plugin', owner, plugins)}")
    raise VariantError(
        f"{source} would change nothing: the row does not use {owner!r}. "
        f"It uses {', '.join(sorted(variant.options))}."
    )
