"""One training at a time writes into a run folder."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sm3kit.core.errors import SM3Error, VariantError
from sm3kit.core.libraries import looks_launched

NAME = ".lock"
# What file systems say that have no locks.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def hold_folder(folder: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Keeps other trainings out of a run folder, which is made if it is not there.

    The system lets go of the lock when the process ends, however it ends. A folder that was made
    for it and stays empty goes again.

    Args:
        folder: the run folder.
        warn: told if the file system has no locks.

    Raises:
        VariantError: another training holds the folder.
        SM3Error: the folder cannot be written.
    """
    lock = FileLock(str(folder / NAME))
    try:
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        share = (
            " Processes of one launcher share a run with --devices and --num-nodes."
            if looks_launched()
            else ""
        )
        raise VariantError(
            f"Another process is training in {folder}. Wait until it ends, or give another "
            f"--out.{share}"
        ) from None
    except (OSError, NotImplementedError) as error:
        number = error.errno if isinstance(error, OSError) else errno.ENOSYS
        if number not in NO_LOCKS:
            raise SM3Error(
                f"Cannot write {folder / NAME}: {getattr(error, 'strerror', None) or error}. "
                "Choose another folder with --out."
            ) from error
        warn(
            f"The file system of {folder} does not support locks: do not start another training in "
            "it."
        )
    try:
        yield
    finally:
        # Before it is released: a waiting process would get a lock on a file that nobody sees.
        with suppress(OSError):
            (folder / NAME).unlink()
        lock.release()
        for empty in made:
            with suppress(OSError):
                empty.rmdir()
