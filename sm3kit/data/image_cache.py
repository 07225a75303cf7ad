"""Every image is decoded once: a bounded folder of pixels, keyed by the content of the file."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.lib.format as npy

from sm3kit.core.errors import DataError, SM3Error
from sm3kit.core.files import cache_root, file_and_part, whole_file
from sm3kit.core.threads import in_threads
from sm3kit.data.cache_folders import BoundedFolder, chosen_limit
from sm3kit.data.file_hashes import FileHashes, State, state_of
from sm3kit.imaging.arrays import read_header
from sm3kit.imaging.layout import to_chw, to_hwc
from sm3kit.modalities.base import Image, Modality, read_image

CHECKSUM = 4  # Bytes of CRC-32 behind the array; numpy.load does not mind them.
LISTED = 5
HEADER = 128  # Bytes before the pixels.
HashOf = Callable[[str, tuple[int, int]], str | None]  # Of a file, by its size and time.


class Filled(NamedTuple):
    """What `fill` did: images asked for, how many of them it decoded, bytes of all pixels."""

    images: int
    decoded: int
    bytes: int


class ImageCache:
    """Gives images from their pixels on disk, written when an image is first asked for.

    Pixels are .npy files (H, W, C) under the hash of the image file's bytes, the part of it that
    is meant, and `Modality.reading`: copies of a file share them, and a changed file never meets
    old ones. A member of a tar file counts as a file. Of a folder (a series of slices) names, sizes
    and times are hashed. Pixels appear whole, are checked against their sum when a process first
    uses them, and when the folder is full the least recently used go. Several processes may share
    the folder. No file stays open or mapped, and the object can be pickled.

    Args:
        root: the folder; None decodes each time.
        limit: most bytes in the folder; None takes SM3KIT_CACHE_LIMIT, in GiB, else 20 GiB.

    Raises:
        SM3Error: SM3KIT_CACHE_LIMIT is not a number.
    """

    def __init__(self, root: Path | None, limit: int | None = None) -> None:
        self.root = root
        self.limit = chosen_limit() if limit is None else limit
        self._folder = None if root is None else BoundedFolder(root, self.limit)
        self._hashes = FileHashes(root)
        self._entries: dict[tuple[str, str], _Entry] = {}

    @classmethod
    def of_user(cls, *, keep: bool = True) -> ImageCache:
        """The cache in the user's folder, or one that keeps nothing."""
        return cls(cache_root() / "images" if keep else None)

    def get(self, path: str, modality: Modality) -> Image:
        """The image (C, H, W) of a file as `modality.read` gives it, in channels-last memory.

        Raises:
            DataError: the file cannot be read.
        """
        image = self._look_up(path, modality)
        if image is None:
            state = _state(path, modality)
            image = read_image(path, modality)
            # A full disk stops `fill`. A training on its way goes on without the copy.
            with contextlib.suppress(SM3Error):
                self._keep(path, state, modality, image)
        return image

    def digest(self, path: str, modality: Modality) -> str:
        """A hash of the content of an image's files; of names, sizes and times in a folder."""
        state = _state(path, modality)
        part = file_and_part(path)[1]
        content = "" if state is None else self._content(path, modality, state) or ""
        return f"{content}#{part}" if part else content

    def size_and_time(self, path: str, modality: Modality) -> tuple[int, int] | None:
        """Bytes of all files of an image, and when the last was changed in ns; None without them."""
        state = _state(path, modality)
        if state is None:
            return None
        return sum(size for size, _ in state), max((time for _, time in state), default=0)

    def fill(
        self,
        items: Iterable[tuple[str, Modality]],
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Filled:
        """Decodes all images now, so that nothing starts on files that cannot be read.

        Args:
            threads: how many decode at once; None takes a few more than there are cores.
            progress: is called with the number of images done, and of those that take time: others
                are known to be there.

        Raises:
            DataError: some files cannot be read; all are counted, the first few listed.
            SM3Error: the cache folder is full or closed.
        """
        every = list(items)
        # Threads would take twice as long for what is known.
        ready = [self._bytes_there(path, modality, self._hashes.kept) for path, modality in every]
        todo = [item for item, there in zip(every, ready, strict=True) if there is None]
        decoded, size = 0, sum(there or 0 for there in ready)
        errors: list[DataError] = []
        for done, result in enumerate(in_threads(self._fill_one, todo, threads), start=1):
            if isinstance(result, DataError):
                errors.append(result)
            else:
                decoded, size = decoded + result[0], size + result[1]
            if progress is not None:
                progress(done, len(todo))
        self.keep_hashes()
        if errors:
            raise DataError(_list_errors(errors, len(every)))
        return Filled(len(every), decoded, size)

    def keep_hashes(self) -> None:
        """Writes what is known of files, so that no other process reads them for it."""
        self._hashes.keep()

    def _fill_one(self, item: tuple[str, Modality]) -> tuple[int, int] | DataError:
        path, modality = item
        there = self._bytes_there(path, modality, self._hashes.of)
        if there is not None:
            return 0, there
        state = _state(path, modality)
        try:
            image = read_image(path, modality)
        except DataError as error:
            return error
        self._keep(path, state, modality, image)
        return 1, image.nbytes

    def _bytes_there(self, path: str, modality: Modality, hash_of: HashOf) -> int | None:
        """The bytes of an image's pixels on disk; they are not read, as they are when it is used."""
        if self.root is None or (state := _state(path, modality)) is None:
            return None
        file = self._file(path, state, modality, hash_of)
        try:
            return None if file is None else max(0, os.stat(file).st_size - HEADER - CHECKSUM)  # noqa: PTH116
        except OSError:
            return None

    def _look_up(self, path: str, modality: Modality) -> Image | None:
        if self.root is None or (state := _state(path, modality)) is None:
            return None
        entry = self._entries.get((path, modality.reading))
        if entry is None or entry.state != state:
            file = self._file(path, state, modality)
            entry = None if file is None else _read_entry(Path(file), state)
            if entry is None:
                return None
            self._entries[path, modality.reading] = entry
        return entry.load()

    def _keep(self, path: str, state: State | None, modality: Modality, image: Image) -> None:
        if self._folder is None or state is None or image.nbytes > self.limit:
            return
        file = self._file(path, state, modality)
        if file is None or _state(path, modality) != state:
            return  # It changed while it was decoded.
        self._folder.take(image.nbytes)
        try:
            entry = _write_entry(Path(file), state, to_hwc(image), self._remedy())
        except OSError as error:
            raise SM3Error(
                f"Cannot write {file}: {error.strerror or error}. {self._remedy()}"
            ) from error
        self._entries[path, modality.reading] = entry

    def _file(
        self, path: str, state: State, modality: Modality, hash_of: HashOf | None = None
    ) -> str | None:
        content = self._content(path, modality, state, hash_of)
        if content is None:
            return None  # `modality.read` says why.
        part = file_and_part(path)[1]
        facts = f"{content}#{part} {modality.reading}" if part else f"{content} {modality.reading}"
        key = hashlib.blake2b(facts.encode(), digest_size=20).hexdigest()
        assert self.root is not None
        return os.path.join(self.root, key[:2], f"{key[2:]}.npy")  # noqa: PTH118  called for every image

    def _content(
        self, path: str, modality: Modality, state: State, hash_of: HashOf | None = None
    ) -> str | None:
        names, hash_of = modality.files(path), hash_of or self._hashes.of
        digests = [hash_of(*facts) for facts in zip(names, state, strict=True)]
        known = [digest for digest in digests if digest is not None]
        return " ".join(known) if len(known) == len(digests) else None

    def _remedy(self) -> str:
        return (
            f"The image cache is in {self.root}: free some space there, set SM3KIT_CACHE to a "
            "folder on another disk, or do without it (--no-cache)."
        )


class _Entry(NamedTuple):
    """Where the pixels of an image lie, and the state of the image file that they show."""

    state: State
    file: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int

    def load(self) -> Image | None:
        """The image, or None if the file has gone or has another length."""
        # Read, not mapped: as fast for one image, and nothing to fault on or to run out of.
        pixels = np.empty(self.shape, self.dtype)
        try:
            with Path(self.file).open("rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != self.start + pixels.nbytes + CHECKSUM:
                    return None
                file.seek(self.start)
                if file.readinto(pixels.data.cast("B")) != pixels.nbytes:
                    return None
        except OSError:
            return None
        return to_chw(pixels)


def _state(path: str, modality: Modality) -> State | None:
    """None for what has no content to hash, such as a missing file; `modality.read` says why."""
    try:
        names = modality.files(path)
    except (OSError, ValueError, DataError):
        return None
    return state_of(names)


def _read_entry(file: Path, state: State) -> _Entry | None:
    """The entry in a cache file whose checksum holds; it counts as used now."""
    try:
        content = file.read_bytes()
        if int.from_bytes(content[-CHECKSUM:], "little") != zlib.crc32(content[:-CHECKSUM]):
            return None
        header = io.BytesIO(content)
        shape, _, dtype = read_header(header)
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):  # A folder of somebody else.
        os.utime(file)
    return _Entry(state, str(file), shape, dtype, header.tell())


def _write_entry(file: Path, state: State, pixels: Image, remedy: str) -> _Entry:
    header = io.BytesIO()
    npy.write_array_header_1_0(header, npy.header_data_from_array_1_0(pixels))
    start = header.getvalue()
    checksum = zlib.crc32(pixels.data.cast("B"), zlib.crc32(start))
    with whole_file(file, remedy) as temporary, temporary.open("wb") as out:
        out.write(start)
        out.write(pixels.data.cast("B"))
        out.write(checksum.to_bytes(CHECKSUM, "little"))
        out.flush()
    return _Entry(state, str(file), pixels.shape, pixels.dtype, len(start))


def _list_errors(errors: list[DataError], count: int) -> str:
    told = [f"({place}) {error}" for place, error in enumerate(errors[:LISTED], start=1)]
    more = f" And {len(errors) - LISTED:,} more." if len(errors) > LISTED else ""
    return f"{len(errors):,} of {count:,} images cannot be read: {' '.join(told)}{more}"
