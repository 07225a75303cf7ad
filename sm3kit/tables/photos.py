"""The photographs that a table names: found by name, or under another suffix or case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from pathlib import Path, PurePath

from sm3kit.core.errors import DataError
from sm3kit.tables.joining import visible_paths

SUFFIXES = (".jpg", ".jpeg", ".png")


class FilesByStem:
    """The photographs below a folder, to be found by name, or by the name without suffix and case.

    Args:
        folder: where to look.
        pattern: which paths below it, as `Path.glob` takes it; by default at any depth.
        also: what may stand between the stem and the suffix of a file that is not there otherwise.
    """

    def __init__(self, folder: Path, pattern: str = "**/*", also: str = "") -> None:
        self._files: dict[str, list[Path]] = {}
        self._also = also
        for path in visible_paths(folder, pattern):
            if path.suffix.lower() in SUFFIXES:
                self._files.setdefault(path.stem.casefold(), []).append(path)

    def find(self, name: str, place: str) -> tuple[Path | None, str]:
        """The file that a cell names, or None, and how it was found unless by its name.

        Args:
            place: where the cell is, for the message.

        Raises:
            DataError: several files may be meant.
        """
        stem = PurePath(name).stem.casefold()
        near = self._files.get(stem, [])
        ways = {
            "": [path for path in near if path.name == name],
            "under another suffix or case": near,
            f"as NAME{self._also}": self._files.get(f"{stem}{self._also}", []),
        }
        for way, paths in ways.items():
            if len(paths) > 1:
                raise DataError(f"{place}: {name!r} may be {paths[0]} or {paths[1]}. Keep one.")
            if paths:
                return paths[0], way
        return None, ""

    def without(self, used: Container[str]) -> list[str]:
        """The names of the files whose paths are not among those."""
        paths = [path for near in self._files.values() for path in near]
        return [path.name for path in paths if str(path) not in used]


class FilesBeside:
    """Photographs at their usual paths, or beside these under another suffix or case.

    Each folder is listed once, and once more if a usual path is not there; no file is opened.
    """

    def __init__(self) -> None:
        self._names: dict[Path, set[str]] = {}
        self._stems: dict[Path, FilesByStem] = {}
        self._ways = Counter[str]()

    def find(self, folder: Path, name: str, place: str) -> str:
        """The path of a photograph: the usual one, unless only another file of its stem is there.

        Args:
            folder: where it usually lies.
            name: its usual name.
            place: where its name is, for the message.

        Raises:
            DataError: several files may be meant.
        """
        path, way = folder / name, ""
        if name not in self._names_in(folder) and self._names_in(path.parent):
            if path.parent not in self._stems:
                self._stems[path.parent] = FilesByStem(path.parent, "*")
            found, way = self._stems[path.parent].find(path.name, place)
            path = found or path
        self._ways[way] += 1
        return str(path)

    def _names_in(self, folder: Path) -> set[str]:
        if folder not in self._names:
            try:
                self._names[folder] = {path.name for path in folder.iterdir()}
            except (OSError, ValueError):  # A folder that may not be listed tells nothing.
                self._names[folder] = set()
        return self._names[folder]

    def notes(self) -> list[str]:
        """How many photographs were found under another suffix or case."""
        return notes_on_ways(self._ways, self._ways.total())


def notes_on_ways(ways: Mapping[str, int], total: int) -> list[str]:
    """A note on each way in which files were found other than by their names."""
    return [f"Files found {way}: {count} of {total}." for way, count in ways.items() if way]
