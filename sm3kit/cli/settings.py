"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sm3kit.core.errors import OptionError

if TYPE_CHECKING:
    from rich.console import Console

    from sm3kit.engine.feature_cache import FeatureCache
    from sm3kit.engine.image_cache import ImageCache

F = TypeVar("F", bound=Callable[..., Any])


def data_option(command: F) -> F:
    """--data SPEC, which may be given several times."""
    return click.option(
        "--data",
        multiple=True,
        metavar="SPEC",
        help="synthetic (the default), derm7pt:DIR, milk10k:DIR, manifest:FILE.csv, or a plugin's "
        "name:argument. Several are pooled.",
    )(command)


def map_option(command: F) -> F:
    """--map NAME=NAME, which renames a modality of the data."""
    return click.option(
        "--map",
        "rename",
        multiple=True,
        metavar="NAME=DATA",
        help="Call a modality NAME that the data call DATA, to pool data sets.",
    )(command)


def plugin_options(command: F) -> F:
    """-o PLUGIN.OPTION=VALUE, which may be given several times."""
    return click.option(
        "-o",
        "options",
        multiple=True,
        metavar="PLUGIN.OPTION=VALUE",
        help="Set an option of a plugin, of a modality by its name, or of the training "
        "(training.weight_decay=0.01). `sm3kit plugins show NAME` lists them.",
    )(command)


def parsed_map(pairs: Sequence[str]) -> dict[str, str]:
    """{name: name in the data} of --map options."""
    table = {}
    for pair in pairs:
        left, equals, right = pair.partition("=")
        if not (left and equals and right):
            raise click.BadParameter(f"wants NAME=DATA, such as clinic=close-up, not {pair!r}.")
        table[left] = right
    return table


def parsed_options(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """{plugin: {option: value}} of -o options."""
    table: dict[str, dict[str, str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        plugin, dot, option = name.partition(".")
        if not (plugin and dot and option and equals):
            raise OptionError(
                f"-o wants PLUGIN.OPTION=VALUE, such as simclr.temperature=0.2, not {text!r}."
            )
        table.setdefault(plugin, {})[option] = value
    return table


def console(stderr: bool = False, quiet: bool = False) -> Console:
    """Where people read: lines are wrapped by words on a terminal, and never in a file."""
    from rich.console import Console

    found = Console(stderr=stderr, quiet=quiet)
    found.soft_wrap = not found.is_terminal
    return found


def image_cache(no_cache: bool) -> ImageCache:
    """The user's image cache, or one that keeps nothing."""
    from sm3kit.core.files import cache_root
    from sm3kit.engine.image_cache import ImageCache

    return ImageCache(None if no_cache else Path(cache_root()) / "images")


def feature_cache(no_cache: bool) -> FeatureCache:
    """The user's feature cache, or one that keeps nothing."""
    from sm3kit.core.files import cache_root
    from sm3kit.engine.feature_cache import FeatureCache

    return FeatureCache(None if no_cache else Path(cache_root()) / "features")
