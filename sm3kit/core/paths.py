"""Paths of images: a file or a folder, or a part of one after `#`."""

from __future__ import annotations

import os


def file_and_part(path: str) -> tuple[str, str]:
    """The file or folder of a path, and the part of it that is meant; the part may be empty.

    `ct.nii.gz#slice=12` is the part `slice=12` of `ct.nii.gz`. A file whose own name holds a
    `#` is taken whole, if it is there.
    """
    if "#" not in path or _exists(path):
        return path, ""
    marks = [place for place, letter in enumerate(path) if letter == "#"]
    there = [place for place in marks if _exists(path[:place])]
    cut = there[-1] if there else marks[0]
    return path[:cut], path[cut + 1 :]


def _exists(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110  Path would stumble over a name that is too long.
