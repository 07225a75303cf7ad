"""Where the tables of CheXpert and the folders of its patients lie, however it was downloaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sm3kit.api import DataError, visible_paths

# The first of the names that is there counts. The others came with the test set.
TABLES = {
    "train": ("train.csv",),
    "valid": ("valid.csv", "val_labels.csv"),
    "test": ("test.csv", "test_labels.csv"),
}
BATCHES = "*(train *)"  # "CheXpert-v1.0 batch 2 (train 1)"
# Where the images are whose paths begin so: the folder of a table has another name in the test set.
FOLDERS = {
    "train": ("train", BATCHES),
    "valid": ("valid", "val"),
    "val": ("val", "valid"),
    "test": ("test",),
}


class Folder:
    """The tables of a CheXpert folder, and where their patients are.

    Attributes:
        root: the folder of `train.csv`.
        tables: {train, valid or test: its table} of those that are there.
        notes: what is there and is not read.

    Args:
        folder: this folder, or the one above it.

    Raises:
        DataError: there is no `train.csv`, or there are several.
    """

    def __init__(self, folder: Path) -> None:
        self.root = _root(folder)
        self._homes = list(dict.fromkeys([self.root, folder]))
        self.tables: dict[str, Path] = {}
        self.notes: list[str] = []
        for stem, names in TABLES.items():
            paths = [home / name for home in self._homes for name in names]
            there = [path for path in paths if path.is_file()]
            if there and there[0].parent == self.root:
                self.tables[stem] = there.pop(0)
                so = f"{self.tables[stem]} counts"
            else:
                so = f"it has to be beside {self.root / 'train.csv'}, with its folder of images"
                self.notes += [
                    f"{place} has no table ({' or '.join(names)} beside it): its images are not used."
                    for place in self.places(stem)
                ]
            self.notes += [f"{path} is not read: {so}." for path in there]

    def places(self, name: str) -> list[Path]:
        """The folders of the patients whose paths begin with `train/`, `valid/` or `test/`.

        Full-size images of the training patients come in several folders, "CheXpert-v1.0 batch 2
        (train 1)" and so on, beside that of the tables, "CheXpert-v1.0 batch 1 (validate & csv)".
        """
        patterns = FOLDERS.get(name, (name,))
        if name != "train":
            return _folders([self.root], patterns)
        # The folder above "." is not ".".
        above = self.root.parent if self.root.name.strip(".") else self.root.resolve().parent
        return _folders(self._homes, patterns) or _folders([above], [BATCHES])


def _folders(homes: Iterable[Path], patterns: Iterable[str]) -> list[Path]:
    paths = [
        path for home in homes for pattern in patterns for path in visible_paths(home, pattern)
    ]
    return [path for path in paths if path.is_dir()]


def _root(folder: Path) -> Path:
    """The folder of the tables: this one, or the one in it."""
    if (folder / "train.csv").is_file():
        return folder
    inner = [path.parent for path in visible_paths(folder, "CheXpert-v1.0*/train.csv")]
    if len(inner) == 1:
        return inner[0]
    found = f"it holds {' and '.join(path.name for path in inner)}" if inner else "it has none"
    raise DataError(
        f"{folder} should hold train.csv, valid.csv and their folders of images, as "
        f"CheXpert-v1.0-small does, but {found}. Give the folder of the tables: chexpert:DIR"
    )
