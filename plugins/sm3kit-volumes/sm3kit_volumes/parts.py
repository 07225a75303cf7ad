"""What may follow the `#` of a path: `ct.nii.gz#slice=40`, `study#series=1.2.3&slice=30%`."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.parse import quote, unquote

from sm3kit.api import DataError, file_and_part


@dataclass(frozen=True)
class Part:
    """The part of a scan that is meant; what is empty is left to the modality.

    Attributes:
        slice: an index along the axis, from 0, or a share of its length such as `30%`.
        series: SeriesInstanceUID of one DICOM series of a folder.
        time: which volume of a 4-D file, from 0.
        grid: a scan beside this one whose grid it is resampled to, a path relative to it.
    """

    slice: str = ""
    series: str = ""
    time: str = ""
    grid: str = ""

    def text(self) -> str:
        """As it is written behind the `#`."""
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        return "&".join(f"{name}={quote(value, '%')}" for name, value in told.items() if value)


def parted(path: str) -> tuple[Path, Part]:
    """The file or folder of a path, and the part of it that is meant.

    Raises:
        DataError: the part is not one that scans have.
    """
    file, text = file_and_part(path)
    known = [one.name for one in fields(Part)]
    given = {}
    for entry in text.split("&") if text else []:
        name, _, value = entry.partition("=")
        if name not in known or not value:
            raise DataError(
                f"{path}: the part {entry!r} is not one of {', '.join(f'{k}=...' for k in known)}. "
                "Join several with '&'."
            )
        given[name] = unquote(value)
    return Path(file), Part(**given)


def with_part(path: str, **changes: str) -> str:
    """The path with a part that has some of its words set."""
    file, part = parted(path)
    return f"{file}#{replace(part, **changes).text()}"


def on_grid_of(path: str, grid: str) -> str:
    """The path of a scan that is resampled to the grid of another."""
    file, _ = parted(grid)
    return with_part(path, grid=Path(os.path.relpath(file, parted(path)[0].parent)).as_posix())
