"""Files that are either whole or not there, and where sm3kit keeps its own."""

from __future__ import annotations

import glob
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from sm3kit.core.errors import SM3Error

STALE = 3600  # Seconds after which a half-written file has lost its writer.


def cache_root() -> Path:
    """The folder for everything that can be made again: SM3KIT_CACHE, else the user's cache."""
    chosen = os.environ.get("SM3KIT_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sm3kit"


@contextmanager
def whole_file(path: Path, remedy: str = "") -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well.

    A reader, a crash or a second writer never sees a partial file.

    Args:
        path: the file to write; its folder is made.
        remedy: what a user can do if the disk is full or the folder is closed.

    Raises:
        SM3Error: the disk is full or the folder cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_stale(path.parent)
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        advice = remedy or "Free some space or choose another folder."
        raise SM3Error(f"Cannot write {path}: {error.strerror or error}. {advice}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Removes what killed processes left of a file that they were writing.

    It cannot tell a dead writer from a living one, so it is for those who alone may write the
    file. Of other files, `whole_file` removes what nobody has touched for an hour.
    """
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError):
            part.unlink()


@lru_cache(maxsize=4096)
def _clear_stale(folder: Path) -> None:
    """Removes half-written files without a writer; once in a process, for folders may be large."""
    for part in folder.glob(f".*.{12 * '[0-9a-f]'}.part"):
        with suppress(OSError):  # Another process was quicker, or may and this one may not.
            if part.stat().st_mtime < time.time() - STALE:
                part.unlink()
