"""Folders that are either whole or not there, and never take anything away."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sm3kit.core.errors import DataError, SM3Error, VariantError
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


@contextmanager
def whole_folder(path: Path, force: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well.

    With `force` it replaces a folder, of which the files stay that an earlier export did not
    write.

    Raises:
        VariantError: the folder is not empty and `force` is not given.
        SM3Error: the disk is full or the place cannot be written; nothing has changed.
    """
    check_free(path, force)
    path = path.absolute()
    mark = uuid.uuid4().hex[:12]
    new, old = (path.with_name(f".{path.name}.{mark}.{word}") for word in ("part", "old"))
    try:
        new.mkdir(parents=True)
        yield new
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        _bring_back(old, path)
    except OSError as error:
        raise SM3Error(
            f"Cannot write {path}: {error.strerror or error}. Free some space or choose another "
            "folder."
        ) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def write_listing(folder: Path, facts: dict[str, object]) -> None:
    """Writes what the folder is, and which files belong to it; comes last."""
    files = sorted([LISTING, *(file.name for file in folder.iterdir())])
    text = json.dumps({**facts, "files": files}, indent=2, ensure_ascii=False)
    (folder / LISTING).write_text(text + "\n", "utf-8")
    for name in files:  # Weights are written for their owner alone.
        shutil.copymode(folder / LISTING, folder / name)


def _bring_back(old: Path, path: Path) -> None:
    """Moves what no export has written out of the replaced folder, and removes that."""
    if not old.exists():
        return
    try:
        written = set(parse((old / LISTING).read_text("utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError, DataError):
        written = set()
    for file in old.iterdir():
        if file.name not in written and not (path / file.name).exists():
            file.rename(path / file.name)
    shutil.rmtree(old)
