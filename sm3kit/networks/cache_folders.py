"""What the user's cache holds, and how it is cleared while others use it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sm3kit.core.files import STALE, cache_root
from sm3kit.data.bounded_folder import chosen_limit

# Folders of files that stand alone: each can go at any time. Others in the cache cannot.
CLEARABLE = ("images", "features")
DAY = 86400


@dataclass(frozen=True)
class Holding:
    """One folder of the cache: its files, their bytes, and when they were last used.

    `limit` is None where nothing limits the folder; `oldest` and `newest` are seconds since
    1970, None where there are no files.
    """

    name: str
    folder: str
    files: int
    bytes: int
    limit: int | None
    oldest: float | None
    newest: float | None


@dataclass(frozen=True)
class Freed:
    """What clearing one folder has removed, and how many files it could not remove."""

    name: str
    files: int
    bytes: int
    kept: int


def holdings() -> list[Holding]:
    """What each folder of the cache holds; the bounded ones first.

    Raises:
        SM3Error: SM3KIT_CACHE_LIMIT is not a number.
    """
    root = cache_root()
    limit = chosen_limit()
    others = sorted(path.name for path in _folders(root) if path.name not in CLEARABLE)
    return [
        _holding(root / name, limit if name in CLEARABLE else None)
        for name in (*CLEARABLE, *others)
    ]


def clear(names: Sequence[str], older_than: float = 0) -> list[Freed]:
    """Removes what was not used for so many days from folders of `CLEARABLE`.

    Every file stands alone and is made again when it is missed, and what is open stays
    readable, so other processes may go on. What one of them is writing is left alone.
    """
    now = time.time()
    return [_cleared(cache_root() / name, now - older_than * DAY, now - STALE) for name in names]


def _cleared(folder: Path, used_before: float, begun_before: float) -> Freed:
    files = size = kept = 0
    for path, used, length in _files(folder):
        limit = min(used_before, begun_before) if path.suffix == ".part" else used_before
        if used > limit:
            continue
        try:
            path.unlink()
        except FileNotFoundError:  # Another process was quicker.
            continue
        except OSError:  # Somebody else's, or open on a system that minds.
            kept += 1
            continue
        files, size = files + 1, size + length
    return Freed(folder.name, files, size, kept)


def _holding(folder: Path, limit: int | None) -> Holding:
    found = list(_files(folder))
    times = [used for _, used, _ in found]
    return Holding(
        folder.name,
        str(folder),
        len(found),
        sum(length for _, _, length in found),
        limit,
        min(times, default=None),
        max(times, default=None),
    )


def _folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []


def _files(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Path, time of last use and length of every file, however deep."""
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # Another process may have removed it.
            if path.is_file():
                one = path.stat()
                yield path, one.st_mtime, one.st_size
