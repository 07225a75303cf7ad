"""The folders of the cache: kept within a limit, looked into, and cleared while others use them."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sm3kit.core.errors import SM3Error
from sm3kit.core.files import STALE, cache_root

GIB = 2**30
DEFAULT_GIB = 20
DAY = 86400
BOUNDED = ("images", "features")
# Folders of files that stand alone: each can go at any time. Others in the cache cannot.
CLEARABLE = (*BOUNDED, "shards")


class BoundedFolder:
    """Keeps a folder within a limit: the files that were used longest ago go first.

    Other processes write there too, so the folder is counted anew after every fiftieth of
    the limit. Threads may overshoot by an image each.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self.root = root
        self.limit = limit
        self.held = 0.0
        self.next_count = 0.0

    def take(self, size: int) -> None:
        """Makes room for a file of so many bytes."""
        self.held += size
        if self.held < self.next_count:
            return
        self.next_count = math.inf  # Other threads need not count as well.
        files = self._files()
        held = sum(file[1] for file in files) + size
        if held > self.limit:
            for _, length, path in sorted(files):
                if held <= 0.9 * self.limit:
                    break
                with contextlib.suppress(OSError):
                    path.unlink()
                    held -= length
        self.held = held
        self.next_count = min(held + self.limit / 50, self.limit)

    def _files(self) -> list[tuple[float, int, Path]]:
        """Time of last use, length and path of every file; what a crash left is removed."""
        files = []
        for path in self.root.glob("*/*"):
            with contextlib.suppress(OSError):  # Another process may have removed it.
                state = path.stat()
                if path.suffix != ".part":
                    files.append((state.st_mtime, state.st_size, path))
                elif state.st_mtime < time.time() - STALE:
                    path.unlink()
        return files


def chosen_limit() -> int:
    """The most bytes in a cache folder: SM3KIT_CACHE_LIMIT, in GiB, else 20 GiB.

    Raises:
        SM3Error: SM3KIT_CACHE_LIMIT is not a number.
    """
    text = os.environ.get("SM3KIT_CACHE_LIMIT", "") or str(DEFAULT_GIB)
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        raise SM3Error(
            f"SM3KIT_CACHE_LIMIT must be a number of GiB, not {text!r}. The default is "
            f"{DEFAULT_GIB}."
        )
    return int(limit * GIB)


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
    """What each folder of the cache holds; those that can be cleared first.

    Raises:
        SM3Error: SM3KIT_CACHE_LIMIT is not a number.
    """
    root = cache_root()
    limit = chosen_limit()
    others = sorted(path.name for path in _folders(root) if path.name not in CLEARABLE)
    return [
        _measure(root / name, limit if name in BOUNDED else None) for name in (*CLEARABLE, *others)
    ]


def clear(names: Sequence[str], older_than: float = 0) -> list[Freed]:
    """Removes what was not used for so many days from folders of `CLEARABLE`.

    Every file stands alone and is made again when it is missed, and what is open stays
    readable, so other processes may go on. What one of them is writing is left alone.
    """
    now = time.time()
    return [_clear(cache_root() / name, now - older_than * DAY, now - STALE) for name in names]


def _clear(folder: Path, used_before: float, begun_before: float) -> Freed:
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


def _measure(folder: Path, limit: int | None) -> Holding:
    files = list(_files(folder))
    times = [used for _, used, _ in files]
    return Holding(
        folder.name,
        str(folder),
        len(files),
        sum(length for _, _, length in files),
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
                state = path.stat()
                yield path, state.st_mtime, state.st_size
