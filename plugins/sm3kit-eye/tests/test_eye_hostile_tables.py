"""Damaged tables of eyes: each reads rightly, or ends in one line that names the place."""

import pytest
from test_eye_tables import Topcon

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
from sm3kit_eye.gamma import TABLE, Gamma
from sm3kit_eye.topcon_mm import TopconMM

# The column of images is known by what stands in it, whatever it is called.
FOUND_BY_CONTENT = {
    *("another first heading", "a first heading with line break", "a first heading that steers"),
    *("ten thousand other columns", "no headings"),
    "no heading at all",  # A blank row above the first one is passed over.
}


class Damaged:
    """The table of labels, to be written over, and put back."""

    def __init__(self, folder):
        Topcon.write(folder)
        self.folder, self.file = folder, folder / Topcon.name
        self.sound = self.file.read_bytes()

    def opened(self):
        data = TopconMM(str(self.folder), labels_of="oct")
        check(data)
        return data

    def answer(self, content):
        self.file.write_bytes(content)
        try:
            return answered(self.opened, self.folder)
        finally:
            self.file.write_bytes(self.sound)


@pytest.fixture
def table(tmp_path):
    return Damaged(tmp_path)


@pytest.mark.parametrize("damage", HARMLESS)
def test_what_reads_as_if_nothing_had_happened(table, damage):
    sound, found = table.opened(), table.answer(HARMLESS[damage](table.sound))
    assert not isinstance(found, str), found
    assert (found.studies(), found.labels) == (sound.studies(), sound.labels)


@pytest.mark.parametrize("damage", BROKEN)
def test_what_is_refused(table, damage):
    said = table.answer(BROKEN[damage](table.sound))
    if damage in FOUND_BY_CONTENT:
        assert said.studies()
        return
    assert isinstance(said, str)
    assert table.file.name in said


@pytest.mark.parametrize("damage", ODD)
def test_what_is_read_or_refused(table, damage):
    found = table.answer(ODD[damage](table.sound))
    assert isinstance(found, str) or found.studies()


@pytest.mark.parametrize("value", VALUES)
def test_what_may_stand_in_a_column(table, value):
    for column in range(len(rows_of(table.sound)[0])):
        found = table.answer(with_value(table.sound, column, value))
        assert isinstance(found, str) or found.studies()


@pytest.mark.parametrize("content", [b"", b"\0", b"PK\x03\x04", b"data,non\r\n1,1\r\n"])
def test_a_spreadsheet_that_is_none(tmp_path, content):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / TABLE).write_bytes(content)
    assert isinstance(answered(lambda: Gamma(str(tmp_path)), tmp_path), str)
