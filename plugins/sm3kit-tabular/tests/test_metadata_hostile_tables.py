"""Damaged tables of metadata: each reads rightly, or ends in one line that names the place."""

import pytest

from sm3kit.data.check import check
from sm3kit.testing.damaged_tables import (
    BROKEN,
    HARMLESS,
    ODD,
    VALUES,
    answered,
    rows_of,
    with_value,
)
from sm3kit_tabular.derm7pt import Derm7ptMetadata
from sm3kit_tabular.manifest import MetadataManifest
from sm3kit_tabular.milk10k import Milk10kMetadata

ROWS = [
    "id,split,photo,DIAG,age,sex",
    *(f"s{n},train,{n}.png,{'AB'[n % 2]},{20 + n // 2},{'fm'[n // 2 % 2]}" for n in range(24)),
]
SETS = {
    "manifest": (None, "studies.csv"),
    "derm7pt": (Derm7ptMetadata, "meta/meta.csv"),
    "milk10k": (Milk10kMetadata, "MILK10k_Training_Metadata.csv"),
}
every_set = pytest.mark.parametrize("name", SETS)


class Damaged:
    """One table of a data set, to be written over, and put back."""

    def __init__(self, name, drawn, folder):
        self.plugin, file = SETS[name]
        self.folder = drawn(name, 12) if self.plugin else folder
        self.file = self.folder / file
        if not self.plugin:
            self.file.write_text("\r\n".join([*ROWS, ""]), newline="")
        self.sound = self.file.read_bytes()

    def opened(self):
        if self.plugin:
            data = self.plugin(str(self.folder))
        else:
            data = MetadataManifest(str(self.file), columns=("age:number", "sex"))
        check(data)
        return data

    def answer(self, content):
        self.file.write_bytes(content)
        try:
            return answered(self.opened, self.folder)
        finally:
            self.file.write_bytes(self.sound)


@pytest.fixture
def table(name, drawn, tmp_path):
    return Damaged(name, drawn, tmp_path)


@every_set
@pytest.mark.parametrize("damage", HARMLESS)
def test_what_reads_as_if_nothing_had_happened(name, table, damage):
    sound, found = table.opened(), table.answer(HARMLESS[damage](table.sound))
    if (name, damage) == ("derm7pt", "a row twice"):  # Its rows count by their place.
        assert isinstance(found, str)
        return
    assert not isinstance(found, str), found
    assert [one.labels for one in found.studies()] == [one.labels for one in sound.studies()]


@every_set
@pytest.mark.parametrize("damage", BROKEN)
def test_what_is_refused(name, table, damage):
    said = table.answer(BROKEN[damage](table.sound))
    assert isinstance(said, str)
    assert table.file.name in said


@every_set
@pytest.mark.parametrize("damage", ODD)
def test_what_is_read_or_refused(name, table, damage):
    found = table.answer(ODD[damage](table.sound))
    assert isinstance(found, str) or found.studies()


@every_set
@pytest.mark.parametrize("value", VALUES)
def test_what_may_stand_in_a_column(name, table, value):
    width = len(rows_of(table.sound)[0])
    for column in range(width) if name == "manifest" else sorted({0, 1, width // 2, width - 1}):
        found = table.answer(with_value(table.sound, column, value))
        assert isinstance(found, str) or found.studies()
