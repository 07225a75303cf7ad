"""Members of tar files, each a file of its own: `shard.tar#7.derm.jpg@1536+8123`."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from sm3kit.core.errors import DataError
from sm3kit.core.files import MEMBER, file_and_part, regular_file

BLOCK = tarfile.BLOCKSIZE
AGAIN = "Copy it again from its source, or pack it anew."
TOO_LARGE = 8 * 2**30  # Bytes: tar headers hold less, and a member is read as a whole.
SHORT = 100  # Longest name that every header holds.


class Member(NamedTuple):
    """One file in a tar file: its name, and where its bytes lie."""

    name: str
    start: int
    size: int


def member_path(archive: str | Path, member: Member) -> str:
    """The path that names a member wherever a path of a file is taken.

    Raises:
        DataError: its name has a `#`, behind which the part of a file would begin.
    """
    if "#" in member.name:
        raise DataError(
            f"{archive}: the name of the member {member.name!r} has a '#'. Pack it under another."
        )
    return f"{archive}#{member.name}@{member.start}+{member.size}"


def taken_apart(file: str) -> tuple[str, Member] | None:
    """The tar file and the member that a path names; None for the path of any other file."""
    if ".tar#" not in file or not (found := MEMBER.fullmatch(file)):
        return None
    return found["archive"], Member(found["name"], int(found["start"]), int(found["size"]))


def file_name(file: str) -> str:
    """The name of a file or a member, without the folders that it lies in."""
    taken = taken_apart(file)
    if taken is not None:
        return PurePosixPath(taken[1].name).name
    name = os.path.basename(file)  # noqa: PTH119  asked for every image
    return Path(file).name if name in ("", ".") else name


def size_and_time(file: str) -> tuple[int, int] | None:
    """Bytes of a member, and when its tar file was changed, in ns; None if it is no member.

    Raises:
        OSError: the tar file is not there.
    """
    taken = taken_apart(file)
    if taken is None:
        return None
    return taken[1].size, os.stat(taken[0]).st_mtime_ns  # noqa: PTH116  called for every view


def open_bytes(file: str) -> IO[bytes]:
    """The bytes of a file, or of a member of a tar file.

    Raises:
        OSError: the file cannot be opened.
        DataError: the tar file is damaged or not there.
    """
    return BytesIO(read_member(file)) if taken_apart(file) else Path(file).open("rb")


def read_member(file: str) -> bytes:
    """The bytes of a member; of its tar file nothing else is read.

    Raises:
        DataError: the tar file is not there, is truncated, or holds something else at this place.
    """
    taken = taken_apart(file)
    assert taken is not None
    archive, member = taken
    regular_file(archive, "tar file", "Copy it here, or leave it out.", DataError)
    try:
        with open(archive, "rb") as stream:  # noqa: PTH123  called for every image
            stream.seek(member.start - BLOCK)
            header, content = stream.read(BLOCK), stream.read(member.size)
        there = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        moved = not there.size == member.size == len(content)
        # Longer names, and letters beyond ASCII, may stand elsewhere.
        if len(member.name) <= SHORT and member.name.isascii():
            moved |= there.name != member.name
    except OSError as error:
        raise DataError(f"Cannot read {archive}: {error.strerror or error}. {AGAIN}") from error
    except tarfile.HeaderError:
        moved = True
    if moved:
        raise DataError(
            f"{archive} has changed since its members were listed, or is damaged: {member.name} is "
            f"not at its place, byte {member.start:,}. {AGAIN} An index beside it, {archive}.json, must "
            "be of the same copy."
        )
    return content


@contextmanager
def as_file(path: str, *, copied: bool = True) -> Iterator[str]:
    """A path that every library can open: of a member, a temporary copy with its name.

    Args:
        path: of a file, a member or a part of one of them, `shard.tar#7.ct.nii.gz@1536+99#slice=3`.
        copied: whether there is need of a copy; else a member keeps its path.

    Raises:
        DataError: the member cannot be read, or not copied. What the block raises of this class
            names the member as `shown` does.
    """
    file, part = file_and_part(path)
    taken = taken_apart(file)
    folder = _folder_with(file, taken[0]) if taken and copied else ""
    local = str(Path(folder, _local_name(file))) if folder else file
    try:
        yield f"{local}#{part}" if part else local
    except DataError as error:
        if not taken:
            raise
        raise DataError(str(error).replace(local, shown(file))) from error
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def shown(path: str) -> str:
    """A path as messages name it: of a member, its tar file and its name."""
    taken = taken_apart(path)
    return path if taken is None else f"{taken[0]}#{taken[1].name}"


def _local_name(file: str) -> str:
    """The name of a member for a file in a folder, which no system takes for another folder."""
    return re.sub(r"[\\:]", "_", file_name(file))


def _folder_with(file: str, archive: str) -> str:
    """A temporary folder with a copy of a member in it."""
    folder, content = "", read_member(file)
    try:
        folder = tempfile.mkdtemp(prefix="sm3kit-")
        Path(folder, _local_name(file)).write_bytes(content)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(
            f"Cannot copy {file_name(file)} of {archive} to a temporary file: "
            f"{error.strerror or error}. Set TMPDIR to a folder with some space."
        ) from error
    return folder


def scan(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[Member, bytes]]:
    """All files in a tar file, in order, each with its content if it is wanted, else with nothing.

    Only the headers are read, and what is wanted. Hidden files are left out.

    Args:
        archive: an uncompressed tar file.
        wanted: whether the content of a member of this name is.

    Raises:
        DataError: it is missing, damaged, truncated or compressed, or holds links or a name twice.
    """
    regular_file(archive, "tar file", "Copy it here, or leave it out.", DataError)
    names: set[str] = set()
    try:
        with archive.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for info in tar:
                member = Member(info.name, info.offset_data, info.size)
                if info.isdir() or PurePosixPath(info.name).name.startswith("."):
                    continue
                _refuse(archive, info, names)
                names.add(info.name)
                stream.seek(member.start)
                yield member, stream.read(member.size) if wanted(info.name) else b""
            stream.seek(tar.offset)
            if stream.read(BLOCK) != bytes(BLOCK):  # Else tarfile takes any damage for the end.
                raise tarfile.ReadError(f"no member and no end at byte {tar.offset:,}")
    except (tarfile.TarError, OSError, EOFError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            f"{archive} is truncated, damaged, or not an uncompressed tar file: {reason}. {AGAIN}"
        ) from error


def _refuse(archive: Path, info: tarfile.TarInfo, names: set[str]) -> None:
    if not info.isreg() or info.issparse():
        raise DataError(
            f"{archive}: {info.name} is a link or a special file, which has no bytes of its own. "
            "Pack the files themselves."
        )
    if info.size >= TOO_LARGE:
        raise DataError(
            f"{archive}: {info.name} has 8 GiB or more, and a member is read as a whole. Leave it out."
        )
    if info.name in names:
        raise DataError(f"{archive} has two members named {info.name}. Keep one of them.")
