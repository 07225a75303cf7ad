"""YAML files that come with sm3kit under a name, or from a user under a path."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sm3kit.core.errors import VariantError
from sm3kit.core.names import unknown

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
    path, names = Path(name), built_in(folder)
    if name in names:
        content = (folder / f"{name}.yaml").read_bytes()
    elif path.is_file():
        content = path.read_bytes()
    elif name.endswith((".yaml", ".yml")):
        raise VariantError(f"No {noun} file {name!r}. Built-in {noun}s: {', '.join(names)}.")
    else:
        raise VariantError(unknown(noun, name, names) + " Or give a .yaml file.")
    try:
        return yaml.load(content, _OneOfEach)
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise VariantError(f"{noun.capitalize()} {name!r} is no valid YAML: {where}") from error


class _OneOfEach(yaml.SafeLoader):
    """Refuses two entries of one name, of which YAML would silently take the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"a name in line {line} is no word or number.")
            if key.value in seen:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"{key.value!r} stands there twice, again in line {line}.")
            seen.add(key.value)
        return super().construct_mapping(node, deep)
