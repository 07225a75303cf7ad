"""A grid is a YAML file: named rows, axes that vary, seeds and protocols."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from sm3kit.core import ranges
from sm3kit.core.errors import VariantError
from sm3kit.core.names import quote, unknown
from sm3kit.core.options import Option, convert
from sm3kit.datasets.base import SPLITS
from sm3kit.evaluation.settings import PROTOCOLS, SELECTIONS
from sm3kit.runs import plain_yaml

BUILT_IN = resources.files("sm3kit") / "grids" / "builtin"
MODES = ("product", "one-at-a-time")
MOST_RUNS = 10_000


@dataclass(frozen=True)
class Grid:
    """A grid as it was written, checked for its form alone.

    Attributes:
        name: built-in name, or the file without its folder and ending.
        title: of the table.
        rows: {row: settings}; a setting of a variant, `recipe`, `protocols`, or `teacher`, the row
            that it learns from.
        data: data sets, if nothing else is said.
        base: settings that lie under every row.
        mode: "product" of all axes, or "one-at-a-time" around the row's own values.
        axes: {setting or plugin.option: values}.
        seeds: of every row.
        protocols: how every row is evaluated; empty takes the protocol of each row's recipe.
        split: what is measured on.
        drop: modalities that the measured studies lose in turn: "each", or as `evaluate --drop`.
        select: how an epoch is chosen; see `evaluation.settings`.
        baseline: the row that the others are compared with; empty for none.
        metric: what the table of labels shows first: "auc", "sens", "spec" or "prec".
    """

    name: str
    title: str
    rows: Mapping[str, Mapping[str, Any]]
    data: tuple[str, ...] = ()
    base: Mapping[str, Any] = field(default_factory=dict)
    mode: str = "product"
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    protocols: tuple[str, ...] = ()
    split: str = "test"
    drop: tuple[str, ...] = ()
    select: str = "val_best"
    baseline: str = ""
    metric: str = "auc"

    @property
    def runs(self) -> int:
        """How many runs it is: rows, at each point of the axes, with each seed."""
        counts = [len(values) for values in self.axes.values()]
        points = math.prod(counts) if self.mode == "product" else 1 + sum(counts)
        return len(self.rows) * points * len(self.seeds)

    def source(self) -> dict[str, Any]:
        """The content of a file that gives this grid."""
        plain = dataclasses.asdict(self)
        plain["axes"] = {"mode": plain.pop("mode"), "values": plain["axes"]}
        plain.pop("name")
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()
        }

    def with_changes(
        self, data: Sequence[str] = (), seeds: Sequence[int] = (), protocols: Sequence[str] = ()
    ) -> Grid:
        """The grid with what a command line says instead; an empty value changes nothing.

        Raises:
            VariantError: an unknown protocol, or a seed twice.
        """
        changes = {"data": list(data), "seeds": list(seeds), "protocols": list(protocols)}
        source = self.source() | {name: value for name, value in changes.items() if value}
        return parse(self.name, source, "command line")


def names() -> list[str]:
    """The built-in grids, sorted."""
    return plain_yaml.built_in(BUILT_IN)


def load(name: str) -> Grid:
    """A built-in grid, or that of a YAML file.

    Raises:
        VariantError: no such grid or file, or something in it that a grid does not have.
        OptionError: seeds that are none.
    """
    source = f"grid {name!r}"
    table = _complete(plain_yaml.read_named("grid", name, BUILT_IN), source)
    path = Path(name)
    return parse(path.stem if path.is_file() else name, table, source)


def _complete(content: Any, source: str) -> Any:
    """The content of a file, with the keys of the built-in grid that it is `like` where it has none."""
    if not isinstance(content, Mapping) or "like" not in content:
        return content
    own = dict(content)
    other = str(own.pop("like"))
    if other not in names():
        raise VariantError(f"{source}: {unknown('built-in grid', other, names())}")
    return {**_complete(plain_yaml.read_named("grid", other, BUILT_IN), other), **own}


def parse(name: str, content: Any, source: str) -> Grid:
    """A grid from the content of its file.

    Args:
        source: where it comes from, for messages.

    Raises:
        VariantError: something in it that a grid does not have.
        OptionError: seeds that are none.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("rows"), Mapping):
        raise VariantError(
            f"{source} must be a table with rows, such as 'rows: {{simclr: {{…}}}}'."
        )
    known = [item.name for item in dataclasses.fields(Grid) if item.name not in ("name", "mode")]
    for key in content:
        if key not in known:
            raise VariantError(f"{source}: {unknown('key', str(key), known)}")
    rows = {str(row): settings or {} for row, settings in content["rows"].items()}
    base = content.get("base") or {}
    for row, settings in {**rows, "base": base}.items():
        if not isinstance(settings, Mapping):
            raise VariantError(
                f"{source}: {row} must be a table of settings, not {quote(settings)}."
            )
        if not _is_name(settings.get("recipe")):
            raise VariantError(
                f"{source}: the recipe of {row} must be a name, or a list of names, not "
                f"{quote(settings['recipe'])}."
            )
    mode, axes = _axes(content.get("axes") or {}, source)
    grid = Grid(
        name=name,
        title=str(content.get("title") or name),
        rows=rows,
        data=as_names(content.get("data")),
        base=base,
        mode=mode,
        axes=axes,
        seeds=_seeds(content.get("seeds", (0,)), source),
        protocols=as_names(content.get("protocols")),
        split=str(content.get("split", "test")),
        drop=as_names(content.get("drop")),
        select=str(content.get("select", "val_best")),
        baseline=str(content.get("baseline") or ""),
        metric=str(content.get("metric", "auc")),
    )
    _check(grid, source)
    return grid


def _check(grid: Grid, source: str) -> None:
    if not grid.rows:
        raise VariantError(f"{source} has no rows, so there is nothing to train. Add one.")
    if grid.runs > MOST_RUNS:
        count = f"{grid.runs:,}" if grid.runs < 10**15 else "countless"
        raise VariantError(
            f"{source} makes {count} runs of {len(grid.rows)} rows, their axes and "
            f"{len(grid.seeds)} seeds, and {MOST_RUNS:,} are allowed. Leave out some values, or "
            "make several grids."
        )
    if grid.baseline and grid.baseline not in grid.rows:
        raise VariantError(f"{source}: {unknown('row', grid.baseline, grid.rows)}")
    for name, row in grid.rows.items():
        teacher = str(row.get("teacher") or "")
        if teacher and (teacher == name or teacher not in grid.rows):
            others = [other for other in grid.rows if other != name]
            raise VariantError(f"{source}: {name}: {unknown('other row', teacher, others)}")
    own = [name for row in grid.rows.values() for name in as_names(row.get("protocols"))]
    words = [("protocol", name, PROTOCOLS) for name in grid.protocols]
    words += [("split", grid.split, SPLITS), ("selection", grid.select, SELECTIONS)]
    words += [("protocol", name, PROTOCOLS) for name in own]
    from sm3kit.results.numbers import MEANS  # It loads numpy, and shells complete names of grids.

    words += [("metric of a table", grid.metric, tuple(MEANS))]
    for noun, value, choices in words:
        if value not in choices:
            raise VariantError(f"{source}: {unknown(noun, value, choices)}")
    several = ("protocol", grid.protocols), ("seed", grid.seeds), ("drop", grid.drop)
    for what, values in several:
        twice = [value for value in values if list(values).count(value) > 1]
        if twice:
            raise VariantError(f"{source} names the {what} {twice[0]} twice. Name it once.")


def _axes(content: Any, source: str) -> tuple[str, dict[str, list[Any]]]:
    if not isinstance(content, Mapping) or set(content) - {"mode", "values"}:
        raise VariantError(
            f"{source}: axes must have 'mode' and 'values', such as "
            f"{{mode: product, values: {{stage1.lr: [0.001, 0.01]}}}}, not {quote(content)}."
        )
    mode = str(content.get("mode", "product"))
    if mode not in MODES:
        raise VariantError(f"{source}: {unknown('mode of axes', mode, MODES)}")
    axes = content.get("values") or {}
    if not isinstance(axes, Mapping):
        raise VariantError(
            f"{source}: the values of axes must be a table, such as {{stage1.lr: [0.001, 0.01]}}, "
            f"not {quote(axes)}."
        )
    for name, values in axes.items():
        if not isinstance(values, list | tuple):
            raise VariantError(
                f"{source}: axis {name!r} must be a list of values, not {quote(values)}."
            )
        if not values:
            raise VariantError(
                f"{source}: axis {name!r} has no values, so the {mode} is empty. Give some."
            )
    return mode, {str(name): list(values) for name, values in axes.items()}


def _seeds(value: Any, source: str) -> tuple[int, ...]:
    seeds: tuple[int, ...] = convert(Option("seeds", ranges.Seeds), value, source)
    if not seeds:
        raise VariantError(f"{source}: seeds must list at least one, such as [0, 1, 2].")
    return seeds


def _is_name(value: Any) -> bool:
    """Whether a value is a name, several, or none."""
    names = value if isinstance(value, list | tuple) else [value or ""]
    return all(isinstance(name, str) for name in names)


def as_names(value: Any) -> tuple[str, ...]:
    """One name, several, or none."""
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)
