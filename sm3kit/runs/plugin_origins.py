"""Which single files the plugins of a variant come from, `--plugin FILE.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sm3kit.core.errors import VariantError
from sm3kit.core.plugin_files import content_of, named_files
from sm3kit.core.registry import REGISTRIES, registered_from, registry
from sm3kit.core.variant import Variant
from sm3kit.networks.plugins_in_use import OPEN_LATER, plugins_in_use


def files_of(variant: Variant) -> list[dict[str, Any]]:
    """The files behind the plugins of a variant: path, hash of the content, and names."""
    REGISTRIES["fusions"].names()  # Files are imported when all names are asked for.
    used = plugins_in_use(variant)
    found = []
    for file in named_files():
        names = registered_from(file)
        if any(family in OPEN_LATER or (family, name) in used for family, name in names):
            listed = [f"{family}/{name}" for family, name in names]
            found.append({"file": str(file), "content": content_of(file), "names": listed})
    return found


def check_recorded(recorded: Iterable[Mapping[str, Any]], run: str) -> list[str]:
    """Sentences on the files of a run that have changed since.

    Args:
        recorded: what `files_of` gave when the run was trained.
        run: the run, for messages.

    Raises:
        VariantError: plugins of such a file are not known now.
    """
    notes = []
    contents = {content_of(file) for file in named_files()}
    for one in recorded:
        unknown = [text for text in one["names"] if not _is_known(text)]
        if unknown:
            raise VariantError(
                f"{run} was trained with {', '.join(unknown)} of a plugin file, which is not known "
                f"now. Add: --plugin {one['file']}"
            )
        if one["content"] not in contents:
            notes.append(
                f"{', '.join(one['names'])} came from {one['file']} (content {one['content']}) "
                "when the run was trained, and the code has changed since."
            )
    return notes


def _is_known(text: str) -> bool:
    family, _, name = text.partition("/")
    return name in registry(family).names()
