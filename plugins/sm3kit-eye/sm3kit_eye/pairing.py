"""Which images belong together: a pattern of their names, and the parts of it that they share."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sm3kit.api import DataError, visible_paths

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
Key = tuple[str, ...]


def pair_by_key(
    files: Mapping[str, Iterable[Path]], pattern: str, key: Sequence[str]
) -> dict[Key, dict[str, tuple[str, ...]]]:
    """{key: {modality: paths}}, keys and paths in natural order; any number on either side.

    Args:
        files: {modality: image files}.
        pattern: a regular expression of the whole name without its suffix, with named groups,
            for example `(?P<patient>.+)-(?P<eye>[LR])-(?P<scan>.+)`.
        key: the groups that images must share to belong together: `("patient", "eye")`.

    Raises:
        DataError: a name does not follow the pattern.
    """
    found: dict[Key, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for modality, paths in files.items():
        for path in paths:
            shared = key_of(path.name, pattern, key)
            if shared is None:
                raise DataError(
                    f"The name of the image {path} does not follow the pattern {pattern}. "
                    "Rename it, or move it to another folder."
                )
            found[shared][modality].append(path)
    return {
        shared: {
            modality: tuple(map(str, sorted(paths, key=lambda path: natural(path.name))))
            for modality, paths in found[shared].items()
        }
        for shared in sorted(found, key=lambda parts: [natural(part) for part in parts])
    }


def key_of(name: str, pattern: str, key: Sequence[str]) -> Key | None:
    """The key in the name of an image, with or without suffix; None if the pattern does not fit."""
    suffix = next((end for end in SUFFIXES if name.lower().endswith(end)), "")
    match = re.fullmatch(pattern, name[: len(name) - len(suffix)])
    return tuple(match[group] for group in key) if match else None


def images_in(folder: Path) -> list[Path]:
    """The images of a folder in natural order; hidden files and others are left out.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. It should hold images.")
    images = [path for path in visible_paths(folder) if path.name.lower().endswith(SUFFIXES)]
    return sorted(images, key=lambda path: natural(path.name))


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts numbers in names by value: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), part) if place % 2 else (0, part) for place, part in enumerate(parts)]
