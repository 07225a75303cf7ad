"""Tables that are damaged in any way: each reads rightly, or ends in one line that names the place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from violations import violations

from sm3kit.data.check import check
from sm3kit.datasets.base import Dataset
from sm3kit.datasets.derm7pt import Derm7pt
from sm3kit.datasets.isic import Isic
from sm3kit.datasets.manifest import Manifest
from sm3kit.datasets.midas import Midas
from sm3kit.datasets.milk10k import Milk10k
from sm3kit.synthesis.layouts import write
from sm3kit.testing.damaged_tables import (
    BROKEN,
    HARMLESS,
    ODD,
    VALUES,
    answered,
    rows_of,
    with_value,
)

Opened = Callable[[], Dataset]
# {case: (layout, table)}.
TABLES = {
    "manifest": ("manifest", "manifest.csv"),
    "derm7pt": ("derm7pt", "meta/meta.csv"),
    "derm7pt index": ("derm7pt", "meta/train_indexes.csv"),
    "milk10k": ("milk10k", "MILK10k_Training_Metadata.csv"),
    "milk10k truth": ("milk10k", "MILK10k_Training_GroundTruth.csv"),
    "milk10k archive": ("milk10k-archive", "metadata.csv"),
    "milk10k archive input": ("milk10k-archive", "supplements/training_input.csv"),
    "midas": ("midas", "release_midas.csv"),
    "isic": ("isic", "metadata.csv"),
}
READERS: dict[str, Callable[[str], Dataset]] = {
    "derm7pt": Derm7pt,
    "isic": Isic,
    "midas": Midas,
    "milk10k": Milk10k,
}
# Rows of Derm7pt count by their place. The index has one column: no separator, and a row without
# its cell is a blank line. The first columns of the archive's input and of MIDAS are not looked at.
OTHERWISE = {
    ("derm7pt", "a row twice"),
    *(("derm7pt index", damage) for damage in ("a line sep=| that is wrong", "no id")),
    *(
        (case, damage)
        for case in ("milk10k archive input", "midas")
        for damage in (
            *("another first heading", "no first heading", "no id"),
            *("a first heading with line break", "a first heading that steers"),
        )
    ),
}
every_table = pytest.mark.parametrize("case", TABLES)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def draw(layout: str) -> Path:
        if layout not in made:
            made[layout] = tmp_path_factory.mktemp(layout) / "data"
            write(layout, made[layout], pairs=12, size=32)
        return made[layout]

    return draw


class Damaged:
    """One table of a data set, to be written over, and put back."""

    def __init__(self, folder: Path, layout: str, name: str) -> None:
        self.folder, self.layout, self.file = folder, layout, folder / name
        self.sound = self.file.read_bytes()

    def opened(self) -> Dataset:
        """The data set, after the check that a user would make of it."""
        if self.layout == "manifest":
            data: Dataset = Manifest(str(self.file))
        else:
            data = READERS[self.layout.partition("-")[0]](str(self.folder))
        check(data)
        return data

    def answer(self, content: bytes) -> Dataset | str:
        self.file.write_bytes(content)
        try:
            return answered(self.opened, self.folder)
        finally:
            self.file.write_bytes(self.sound)


@pytest.fixture
def table(case: str, drawn: Callable[[str], Path]) -> Damaged:
    layout, name = TABLES[case]
    return Damaged(drawn(layout), layout, name)


@every_table
def test_what_reads_as_if_nothing_had_happened(case: str, table: Damaged) -> None:
    sound = table.answer(table.sound)
    assert isinstance(sound, Dataset)

    def reads(damage: str) -> None:
        answer = table.answer(HARMLESS[damage](table.sound))
        if (case, damage) in OTHERWISE:
            assert isinstance(answer, str)
            return
        assert not isinstance(answer, str), answer
        assert answer.studies() == sound.studies()
        assert answer.labels == sound.labels

    assert violations(reads, [(damage,) for damage in HARMLESS]) == []


@every_table
def test_what_is_refused(case: str, table: Damaged) -> None:
    def refused(damage: str) -> None:
        answer = table.answer(BROKEN[damage](table.sound))
        if (case, damage) in OTHERWISE:
            assert not isinstance(answer, str)
            return
        assert isinstance(answer, str)
        assert table.file.name in answer

    assert violations(refused, [(damage,) for damage in BROKEN]) == []


@every_table
def test_what_is_read_or_refused(table: Damaged) -> None:
    def answers(damage: str) -> None:
        answer = table.answer(ODD[damage](table.sound))
        assert isinstance(answer, str) or answer.studies()

    assert violations(answers, [(damage,) for damage in ODD]) == []


@every_table
def test_what_may_stand_in_a_column(case: str, table: Damaged) -> None:
    width = len(rows_of(table.sound)[0])
    columns = range(width) if case == "manifest" else sorted({0, 1, width // 2, width - 1})

    def answers(value: str, column: int) -> None:
        answer = table.answer(with_value(table.sound, column, value))
        assert isinstance(answer, str) or answer.studies()

    cases = [(value, column) for value in VALUES for column in columns if column < width]
    assert violations(answers, cases) == []


@pytest.mark.parametrize(
    ("value", "classes"),
    [
        ("truth", ("FALSE", "TRUE")),
        ("numbers with commas", ("1,5", "2,5")),
        ("dates", ("01.02.2021", "2020-01-01")),
        ("a letter nobody sees", None),
        ("failed formulas", None),
        ("unknown", None),
        ("one word", None),
        ("many words", None),
        ("blanks", None),
    ],
)
def test_what_a_label_of_a_manifest_becomes(
    drawn: Callable[[str], Path], value: str, classes: tuple[str, ...] | None
) -> None:
    """One class, none, or too many make no label; a failed formula is no class."""
    table = Damaged(drawn("manifest"), "manifest", "manifest.csv")
    column = rows_of(table.sound)[0].index("PN")
    found = table.answer(with_value(table.sound, column, value))
    assert isinstance(found, Dataset)
    assert {one.name: one.classes for one in found.labels}.get("PN") == classes
