"""Features of views, kept by what they were computed from."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt

from sm3kit.core.errors import SM3Error
from sm3kit.core.files import cache_root, whole_file
from sm3kit.data.cache_folders import BoundedFolder, chosen_limit

Rows = npt.NDArray[np.float32]


class FeatureCache:
    """A bounded folder of feature tables (N, D), each under a key that names its content.

    Tables appear whole, are mapped and not loaded, and when the folder is full the least
    recently used go. Several processes may share the folder.

    Args:
        root: the folder; None keeps nothing.
        limit: most bytes in the folder; None takes SM3KIT_CACHE_LIMIT, in GiB, else 20 GiB.
    """

    def __init__(self, root: Path | None, limit: int | None = None) -> None:
        self.root = root
        self.limit = chosen_limit() if limit is None else limit
        self._folder = None if root is None else BoundedFolder(root, self.limit)

    @classmethod
    def of_user(cls, *, keep: bool = True) -> FeatureCache:
        """The cache in the user's folder, or one that keeps nothing."""
        return cls(cache_root() / "features" if keep else None)

    def get(self, key: str) -> Rows | None:
        """The table of a key, or None if it is not there or damaged."""
        if self.root is None:
            return None
        file = self._file(key)
        try:
            rows: Rows = npy.open_memmap(file, mode="r")
        except (OSError, ValueError):
            return None
        with contextlib.suppress(OSError):  # A folder of somebody else.
            os.utime(file)
        return rows if rows.dtype == np.float32 and rows.ndim == 2 else None

    def put(self, key: str, rows: Rows) -> Rows:
        """Keeps a table if there is room, and gives it back as a reader should hold it."""
        if self._folder is None or rows.nbytes > self.limit:
            return rows
        self._folder.take(rows.nbytes)
        # A full disk costs the copy, not the training.
        with contextlib.suppress(SM3Error):
            with whole_file(self._file(key)) as part, part.open("wb") as out:
                np.save(out, rows, allow_pickle=False)
            kept = self.get(key)
            return rows if kept is None else kept
        return rows

    def _file(self, key: str) -> Path:
        assert self.root is not None
        return self.root / key[:2] / f"{key[2:]}.npy"
