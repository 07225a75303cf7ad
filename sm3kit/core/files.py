"""Files and folders that are whole or not there, where sm3kit keeps its own, and parts of files."""

from __future__ import annotations

import glob
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from sm3kit.core.errors import DataError, SM3Error

# A member of a tar file is a file: its name, where its bytes start, and how many there are.
MEMBER = re.compile(
    r"(?P<archive>.+\.tar)#(?P<name>[^#]+)@(?P<start>\d+)\+(?P<size>\d+)(#(?P<part>.*))?", re.DOTALL
)
STALE = 3600  # Seconds after which a half-written file has lost its writer.
KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def cache_root() -> Path:
    """The folder for everything that can be made again: SM3KIT_CACHE, else the user's cache.

    Raises:
        SM3Error: SM3KIT_CACHE is a file, or it is not set and the user has no home.
    """
    chosen = os.environ.get("SM3KIT_CACHE")
    if chosen:
        if os.path.lexists(chosen) and not Path(chosen).is_dir():
            raise SM3Error(f"SM3KIT_CACHE must be a folder, but {chosen} is not one. Name another.")
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "sm3kit"
    except RuntimeError as error:
        raise SM3Error("This user has no home folder. Set SM3KIT_CACHE to a folder.") from error


def regular_file(
    path: str | Path,
    noun: str = "file",
    remedy: str = "Check the path.",
    error: type[SM3Error] = SM3Error,
) -> Path:
    """The path of a user's file, which can now be opened: a pipe would be waited for without end.

    Args:
        path: where the file, or a link to it, should be.
        noun: what it should be, for the message: "image", "CSV file".
        remedy: what a user can do about it, a sentence.
        error: the class of what is raised.

    Raises:
        SM3Error: nothing is there, or a folder, a pipe, a socket or a device, or what may not be
            read, or no file can have such a name.
    """
    file = Path(path)
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  it is asked for every image
    except (FileNotFoundError, NotADirectoryError):
        link = f" (a link to {file.readlink()})" if file.is_symlink() else ""
        raise error(f"There is no {noun} {path}{link}. {remedy}") from None
    except ValueError:  # A NUL, or a letter that no file system takes.
        raise error(f"No {noun} can be named {str(path)!r}. {remedy}") from None
    except OSError as cause:
        raise error(f"Cannot open the {noun} {path}: {cause.strerror}. {remedy}") from cause
    if not stat.S_ISREG(mode):
        kind = next((kind for matches, kind in KINDS if matches(mode)), "a special file")
        article = "an" if noun[0] in "aeiou" else "a"
        raise error(f"{path} is {kind}, not {article} {noun}. {remedy}")
    if not os.access(path, os.R_OK):
        raise error(f"Cannot open the {noun} {path}: Permission denied. {remedy}")
    return file


@contextmanager
def whole_file(path: Path, remedy: str = "", *, lasting: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well.

    A reader, a crash or a second writer never sees a partial file. The mode is that of any new
    file, also where a library writes through a private file of its own.

    Args:
        path: the file to write; its folder is made.
        remedy: what a user can do if the disk is full or the folder is closed.
        lasting: wait until the disk has it, so that it outlives a failure of power. What can be
            made again, and tells whether it is whole, need not wait.

    Raises:
        SM3Error: the disk is full, the folder cannot be written, or there is a folder of that
            name; nothing is left behind.
    """
    if not path.name or path.is_dir():
        raise SM3Error(f"Cannot write {path}: it is a folder. Give the name of a file.")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_stale(path.parent)
        temporary.touch(exist_ok=False)
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        temporary.chmod(mode)
        if lasting:
            with temporary.open("r+b") as written:  # Windows synchronises only what may be written.
                os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _not_written(path, error, remedy) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(
    path: Path, carry_over: Callable[[Path, Path], None] | None = None
) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well.

    Args:
        path: the folder to make; it may exist if it is empty. Of a link, the target is replaced.
        carry_over: (replaced folder, new folder) -> None, moves what must stay. Without it, a
            folder that is not empty is refused.

    Raises:
        DataError: `path` is a file or may not be replaced, before or after the block.
        SM3Error: the disk is full or the folder cannot be written; nothing has changed.
    """
    replace = carry_over is not None
    _refuse_taken(path, replace)
    place = path.resolve() if path.is_symlink() else path
    mark = f".{place.name}.{uuid.uuid4().hex[:12]}"
    new, old = place.parent / f"{mark}.part", place.parent / f"{mark}.old"
    try:
        new.mkdir(parents=True)
        yield new
        _refuse_taken(path, replace)
        _set_aside(place, old, replace)
        _put(new, place, old)
        if carry_over is not None and old.exists():
            carry_over(old, place)
            shutil.rmtree(old)
    except OSError as error:
        _refuse_taken(path, replace)  # Another writer may have been first.
        raise _not_written(path, error) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _not_written(path: Path, error: OSError, remedy: str = "") -> SM3Error:
    advice = remedy or "Free some disk space, or choose another folder."
    return SM3Error(f"Cannot write {path}: {error.strerror or error}. {advice}")


def _refuse_taken(path: Path, replace: bool) -> None:
    if path.is_dir() and (replace or not any(path.iterdir())):
        return
    if path.exists():
        raise DataError(
            f"{path} already exists and is not an empty folder. "
            "Choose another folder, or delete it first."
        )


def _set_aside(place: Path, old: Path, replace: bool) -> None:
    """Moves a folder out of the way; removes it where it must be empty."""
    if place.exists():
        place.rename(old) if replace else place.rmdir()


def _put(new: Path, place: Path, old: Path) -> None:
    try:
        new.rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise


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


def file_and_part(path: str) -> tuple[str, str]:
    """The file or folder of a path, and the part of it that is meant; the part may be empty.

    `ct.nii.gz#slice=12` is the part `slice=12` of `ct.nii.gz`. A file whose own name holds a
    `#` is taken whole, if it is there, and so is a member of a tar file, see `core.members`.
    """
    if ".tar#" in path and (member := MEMBER.fullmatch(path)):
        return path[: member.end("size")], member["part"] or ""
    if "#" not in path or _exists(path):
        return path, ""
    marks = [place for place, letter in enumerate(path) if letter == "#"]
    there = [place for place in marks if _exists(path[:place])]
    cut = there[-1] if there else marks[0]
    return path[:cut], path[cut + 1 :]


def _exists(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110  Path would stumble over a name that is too long.
