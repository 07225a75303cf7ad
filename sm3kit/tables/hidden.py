"""Hidden files and folders, whose names begin with a dot; systems leave them beside the data."""

from __future__ import annotations

from pathlib import Path


def visible_paths(folder: Path, pattern: str = "*") -> list[Path]:
    """The paths below a folder that fit a pattern, sorted; none that is hidden, or lies in what is.

    Args:
        folder: where to look; it may be hidden itself, or not be there.
        pattern: as `Path.glob` takes it: `*/ct.nii.gz`, `**/*.dcm`.
    """
    found = sorted(folder.glob(pattern))
    return [path for path in found if not _hidden(path.relative_to(folder))]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") and part != ".." for part in path.parts)
