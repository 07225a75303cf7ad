"""A folder of files that can be made again, kept within a limit."""

from __future__ import annotations

import contextlib
import math
import os
import time
from pathlib import Path

from sm3kit.core.errors import SM3Error
from sm3kit.core.files import STALE

GIB = 2**30
DEFAULT_GIB = 20


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
        found = []
        for path in self.root.glob("*/*"):
            with contextlib.suppress(OSError):  # Another process may have removed it.
                one = path.stat()
                if path.suffix != ".part":
                    found.append((one.st_mtime, one.st_size, path))
                elif one.st_mtime < time.time() - STALE:
                    path.unlink()
        return found


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
            f"SM3KIT_CACHE_LIMIT wants a number of GiB, not {text!r}. Without it, it is "
            f"{DEFAULT_GIB}."
        )
    return int(limit * GIB)
