"""Files that are either whole or not there, and where sm3kit keeps its own."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sm3kit.core.errors import SM3Error


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
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM):
            raise
        raise SM3Error(
            f"Cannot write {path}: {error.strerror}. {remedy or 'Free some space or choose another folder.'}"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
