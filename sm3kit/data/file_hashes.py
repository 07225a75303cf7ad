"""Hashes of what files hold; a file that stays as it is is read for it once, and never again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from sm3kit.core.errors import DataError, SM3Error
from sm3kit.core.files import whole_file
from sm3kit.core.members import open_bytes, size_and_time, taken_apart

# Size and time of change of each file of an image; of a folder the sum and the latest.
State = tuple[tuple[int, int], ...]
Stored = tuple[int, int, int, str]  # Bytes, time of change, time of change on the disk, hash.
BLOCK = 1 << 20  # Bytes that are hashed at a time: a volume need not fit into memory.
SETTLED = 2.0  # Seconds without a change, so that the next one has another time on any disk.
MOST = 8192  # Files that one table names; there are 256 tables.


class FileHashes:
    """Hashes of the content of files, kept on disk for the next process.

    A file counts as the same while its size and its times of change stay: that of its content,
    and that of the disk (ctime), which no program sets back. One that has just changed is not
    kept, as it may change again at the same time. Of a folder, names, sizes and times are hashed;
    it is not kept.

    The tables are 256 small files. Each stands alone: one that is missing or damaged, or that
    another process has written meanwhile, costs a second reading of files, and nothing else.

    Args:
        root: the folder of the tables; None keeps nothing on disk.
    """

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._known: dict[str, tuple[tuple[int, int], str]] = {}
        self._stored: dict[str, Stored] = {}
        self._read: set[str] = set()
        self._new: dict[str, Stored] = {}

    def of(self, name: str, facts: tuple[int, int]) -> str | None:
        """The hash of a file or folder with this size and time; None if it cannot be read."""
        content = self.kept(name, facts)
        if content is not None:
            return content
        try:
            now = self._times(name, facts)  # Before it is read: it may change meanwhile.
            content = digest(name)
        except (OSError, DataError):
            return None
        if now is not None and max(now[1:]) < (time.time() - SETTLED) * 1e9:
            self._new[name] = (*now, content)
        self._known[name] = facts, content
        return content

    def kept(self, name: str, facts: tuple[int, int]) -> str | None:
        """The hash of a file with this size and time, if it is known without opening the file."""
        known = self._known.get(name)
        if known is not None and known[0] == facts:
            return known[1]
        table = _table(name)
        if table not in self._read:
            self._stored.update(self._open(table))
            self._read.add(table)
        stored = self._stored.pop(name, None)
        try:
            if stored is None or stored[:3] != self._times(name, facts):
                return None
        except OSError:
            return None
        self._known[name] = facts, stored[3]
        return stored[3]

    def _times(self, name: str, facts: tuple[int, int]) -> tuple[int, int, int] | None:
        """Bytes of a file and its two times of change; None for what is not kept."""
        taken = taken_apart(name)  # A member of a tar file changes with it.
        state = os.stat(taken[0] if taken else name)  # noqa: PTH116  called for every file
        size = taken[1].size if taken else state.st_size
        now = size, state.st_mtime_ns, state.st_ctime_ns
        if self.root is None or not stat.S_ISREG(state.st_mode) or now[:2] != facts:
            return None
        return now

    def keep(self) -> None:
        """Writes what is new, so that the next process need not read these files."""
        by_table: dict[str, dict[str, Stored]] = defaultdict(dict)
        while self._new:
            name, stored = self._new.popitem()
            by_table[_table(name)][name] = stored
        for table, new in by_table.items():
            # What others have written meanwhile stays; the oldest go.
            rows = [*{**self._open(table), **new}.items()][-MOST:]
            # A full disk costs another reading, not the training.
            with (
                contextlib.suppress(SM3Error),
                whole_file(self._file(table), lasting=False) as part,
            ):
                part.write_text(json.dumps(dict(rows)), encoding="utf-8")
        self._stored.clear()
        self._read.clear()

    def _open(self, table: str) -> dict[str, Stored]:
        """What a table says; nothing where it is missing or damaged."""
        if self.root is None:
            return {}
        try:
            file = self._file(table)
            rows = json.loads(file.read_bytes())
            with contextlib.suppress(OSError):  # A folder of somebody else.
                os.utime(file)
            return {name: (int(a), int(b), int(c), str(d)) for name, (a, b, c, d) in rows.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _file(self, table: str) -> Path:
        assert self.root is not None
        return self.root / table / "hashes.json"


def _table(name: str) -> str:
    return f"{zlib.crc32(os.fsencode(name)) & 0xFF:02x}"


def state_of(names: Sequence[str]) -> State | None:
    """The state of the files of an image; None for what has no content, such as a missing file."""
    try:
        return tuple([_size_and_time(name) for name in names])
    except (OSError, ValueError, DataError):
        return None


def _size_and_time(name: str) -> tuple[int, int]:
    if (of_member := size_and_time(name)) is not None:
        return of_member
    facts = os.stat(name)  # noqa: PTH116  a str, and called for every view
    if stat.S_ISREG(facts.st_mode):
        return facts.st_size, facts.st_mtime_ns
    if not stat.S_ISDIR(facts.st_mode):
        raise OSError(f"{name} is a pipe or a device, which has no content.")
    inside = [file.stat() for file in _files(Path(name))]
    times = [file.st_mtime_ns for file in inside]
    return sum(file.st_size for file in inside), max([facts.st_mtime_ns, *times])


def _files(folder: Path) -> list[Path]:
    """The files of a folder of slices, also of those in it, in order."""
    return sorted(file for file in folder.rglob("*") if file.is_file())


def digest(name: str) -> str:
    """A hash of the content of a file; of the names, sizes and times in a folder.

    Raises:
        OSError: it cannot be read.
        DataError: it is a member of a tar file that is damaged or not there.
    """
    hashed = hashlib.blake2b(digest_size=20)
    if os.path.isdir(name):  # noqa: PTH112  a str, which may name a member of a tar file
        for inner in _files(Path(name)):
            facts = inner.stat()
            hashed.update(f"{inner.resolve()} {facts.st_size} {facts.st_mtime_ns}".encode())
        return hashed.hexdigest()
    with open_bytes(name) as file:
        while block := file.read(BLOCK):
            hashed.update(block)
    return hashed.hexdigest()
