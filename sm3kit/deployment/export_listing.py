"""The list of the files of an export, by which the next one knows what it may replace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.plain_json import parse

LISTING = "sm3kit.json"


def check_free(path: Path, force: bool) -> None:
    """Says so before any work if a folder may not be written.

    Raises:
        VariantError: it is no folder, or it is not empty and `force` is not given.
    """
    if path.exists() and not path.is_dir():
        raise VariantError(f"--out {path} is a file; it wants a folder. Give another name.")
    if path.is_dir() and any(path.iterdir()) and not force:
        raise VariantError(
            f"--out {path} is not empty. Give another folder, or --force to write over it."
        )


def write_listing(folder: Path, facts: dict[str, object]) -> None:
    """Writes what the folder is, and which files belong to it; comes last."""
    files = sorted([LISTING, *(file.name for file in folder.iterdir())])
    text = json.dumps({**facts, "files": files}, indent=2, ensure_ascii=False)
    (folder / LISTING).write_text(text + "\n", "utf-8")
    for name in files:  # Weights are written for their owner alone.
        shutil.copymode(folder / LISTING, folder / name)


def keep_unlisted(old: Path, new: Path) -> None:
    """Moves the files that no export has written from a replaced folder to the new one."""
    try:
        written = set(parse((old / LISTING).read_text("utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError, DataError):
        written = set()
    for file in old.iterdir():
        if file.name not in written and not (new / file.name).exists():
            file.rename(new / file.name)
