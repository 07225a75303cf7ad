"""Damaged tables of scans: each reads rightly, or ends in one line that names the place."""

import pytest
from test_volume_tables import SOURCES, AutoPETFolder

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

every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda one: one.__name__)


class Damaged:
    """One table of a data set, to be written over, and put back."""

    def __init__(self, source, folder):
        self.open, self.folder, self.file = source.write(folder), folder, folder / source.name
        self.sound = self.file.read_bytes()

    def opened(self):
        data = self.open()
        check(data)
        return data

    def answer(self, content):
        self.file.write_bytes(content)
        try:
            return answered(self.opened, self.folder)
        finally:
            self.file.write_bytes(self.sound)


@every_source
def test_what_reads_as_if_nothing_had_happened(tmp_path, source):
    table = Damaged(source, tmp_path)
    sound = table.opened()
    for damage in HARMLESS.values():
        found = table.answer(damage(table.sound))
        assert not isinstance(found, str), found
        assert (found.studies(), found.labels) == (sound.studies(), sound.labels)


@every_source
@pytest.mark.parametrize("damage", BROKEN)
def test_what_is_refused(tmp_path, source, damage):
    table = Damaged(source, tmp_path)
    said = table.answer(BROKEN[damage](table.sound))
    if source is AutoPETFolder and not isinstance(said, str):
        # Any CSV file may lie there; one without its columns is not of them, and that is said.
        assert any(f"{table.file.name} is ignored" in note for note in said.notes)
        return
    assert isinstance(said, str)
    assert table.file.name in said


@every_source
@pytest.mark.parametrize("damage", ODD)
def test_what_is_read_or_refused(tmp_path, source, damage):
    table = Damaged(source, tmp_path)
    found = table.answer(ODD[damage](table.sound))
    assert isinstance(found, str) or found.studies()


@every_source
@pytest.mark.parametrize("value", VALUES)
def test_what_may_stand_in_a_column(tmp_path, source, value):
    table = Damaged(source, tmp_path)
    for column in range(len(rows_of(table.sound)[0])):
        found = table.answer(with_value(table.sound, column, value))
        assert isinstance(found, str) or found.studies()
