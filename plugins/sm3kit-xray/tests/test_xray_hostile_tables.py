"""Damaged tables of X-rays: each reads rightly, or ends in one line that names the place."""

import pytest
import test_xray_chexpert
import test_xray_mimic
from test_xray_mimic import IMAGES, LABELS

from sm3kit.data.check import check
from sm3kit.testing.damaged_tables import (
    BROKEN,
    HARMLESS,
    ODD,
    VALUES,
    answered,
    with_value,
)
from sm3kit_xray.chexpert import CheXpert
from sm3kit_xray.mimic_cxr import MimicCXR

# The columns that are read, or are not but might be taken for it.
COLUMNS = {"train.csv": (0, 4, 5), "metadata.csv": (0, 2, 3), "split.csv": (2, 3)}
EVERY = pytest.mark.parametrize("file", COLUMNS)


class Damaged:
    """One table of a small data set, to be written over, and put back."""

    def __init__(self, file, folder):
        self.folder = folder
        if file == "train.csv":
            test_xray_chexpert.write(folder, {"train": test_xray_chexpert.patients("train", 6)})
            self.plugin, self.file = CheXpert, folder / file
        else:
            test_xray_mimic.write(folder, IMAGES, LABELS, compressed=False)
            self.plugin, self.file = MimicCXR, folder / f"mimic-cxr-2.0.0-{file}"
        self.sound = self.file.read_bytes()

    def opened(self):
        data = self.plugin(str(self.folder))
        check(data)
        return data

    def answer(self, content):
        self.file.write_bytes(content)
        try:
            return answered(self.opened, self.folder)
        finally:
            self.file.write_bytes(self.sound)


@EVERY
def test_damages(file, tmp_path):
    table = Damaged(file, tmp_path)
    sound = table.opened()
    for name, damage in HARMLESS.items():
        found = table.answer(damage(table.sound))
        assert not isinstance(found, str), (name, found)
        assert (found.studies(), found.labels) == (sound.studies(), sound.labels), name
    for name, damage in BROKEN.items():
        said = table.answer(damage(table.sound))
        # The table of splits starts with ids of images, which are not read.
        if file == "split.csv" and ("first heading" in name or name == "no id"):
            continue
        assert isinstance(said, str), name
        assert table.file.name in said, name
    for name, damage in ODD.items():
        found = table.answer(damage(table.sound))
        assert isinstance(found, str) or found.studies(), name


@EVERY
def test_what_may_stand_in_a_column(file, tmp_path):
    table = Damaged(file, tmp_path)
    for column in COLUMNS[file]:
        for value in VALUES:
            found = table.answer(with_value(table.sound, column, value))
            assert isinstance(found, str) or found.studies(), (column, value)
