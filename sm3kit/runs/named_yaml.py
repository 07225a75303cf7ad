"""YAML files that come with sm3kit under a name, or from a user under a path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.names import unknown
from sm3kit.runs import plain_yaml

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def built_in(folder: Traversable) -> list[str]:
    """The names of the files in a folder of the package, sorted."""
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read(noun: str, name: str, folder: Traversable) -> Any:
    """The content of a built-in file, or of a user's.

    Args:
        noun: what it is, for messages: "recipe" or "grid".
        name: of a built-in file, or a path.
        folder: of the built-in ones.

    Raises:
        VariantError: no such name or file, no valid YAML, or a name that stands there twice.
    """
    names = built_in(folder)
    try:
        if name in names:
            return plain_yaml.parse((folder / f"{name}.yaml").read_bytes())
        if os.path.lexists(name):
            return plain_yaml.read(Path(name), f"{noun} file", VariantError)
    except DataError as error:
        raise VariantError(f"{noun.capitalize()} {name!r} is no valid YAML: {error}") from error
    if name.endswith((".yaml", ".yml")):
        raise VariantError(f"No {noun} file {name!r}. Built-in {noun}s: {', '.join(names)}.")
    raise VariantError(unknown(noun, name, names) + " Or give a .yaml file.")
