"""What tables say in other words: unknown values, spellings, and rows that do not fit."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from violations import violations

from sm3kit.core.errors import DataError
from sm3kit.core.options import bind
from sm3kit.data.check import check
from sm3kit.data.check_report import spelled_twice
from sm3kit.datasets.base import Dataset
from sm3kit.datasets.derm7pt import Derm7pt
from sm3kit.datasets.isic import Isic
from sm3kit.datasets.manifest import Manifest
from sm3kit.datasets.milk10k import Milk10k
from sm3kit.synthesis.layouts import write
from sm3kit.tables.spelling import UNKNOWN_WORDS

WORDS = [*UNKNOWN_WORDS, "nan", "n/a", "NULL", "Unknown", "-1.0"]
METADATA, TRUTH = "MILK10k_Training_Metadata.csv", "MILK10k_Training_GroundTruth.csv"
Copied = Callable[[str], Path]


def edit(path: Path, change: Callable[[list[dict[str, str]]], None]) -> None:
    """Changes the rows of a table in place."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Copied:
    made: dict[str, Path] = {}

    def draw(layout: str) -> Path:
        if layout not in made:
            made[layout] = tmp_path_factory.mktemp(layout) / "data"
            write(layout, made[layout], pairs=12, size=32)
        return made[layout]

    return draw


@pytest.fixture
def copied(drawn: Copied, tmp_path: Path) -> Copied:
    """The tables of a layout, to be changed."""

    def copy(layout: str) -> Path:
        source = drawn(layout)
        for path in source.rglob("*.csv"):
            target = tmp_path / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        return tmp_path

    return copy


# {case: (layout, table, column)}.
CELLS = {
    "manifest label": ("manifest", "manifest.csv", "PN"),
    "manifest image": ("manifest", "manifest.csv", "clinic"),
    "manifest group": ("manifest", "manifest.csv", "group"),
    "derm7pt label": ("derm7pt", "meta/meta.csv", "pigment_network"),
    "derm7pt image": ("derm7pt", "meta/meta.csv", "clinic"),
    "derm7pt group": ("derm7pt", "meta/meta.csv", "case_id"),
    "milk10k category": ("milk10k", METADATA, "site"),
    "milk10k concept": ("milk10k", METADATA, "MONET_hair"),
    "milk10k diagnosis": ("milk10k", TRUTH, "BCC"),
    "milk10k archive": ("milk10k-archive", "metadata.csv", "diagnosis_1"),
    "milk10k archive input": ("milk10k-archive", "supplements/training_input.csv", "site"),
    "isic label": ("isic", "metadata.csv", "sex"),
    "isic lesion": ("isic", "metadata.csv", "lesion_id"),
    "isic kind": ("isic", "metadata.csv", "image_type"),
    "isic age": ("isic", "metadata.csv", "age_approx"),
}


def opened(layout: str, folder: Path, **options: object) -> Dataset:
    if layout == "manifest":
        return Manifest(str(folder / "manifest.csv"), **options)  # type: ignore[arg-type]
    readers: dict[str, Callable[[str], Dataset]] = {"derm7pt": Derm7pt, "isic": Isic}
    return readers.get(layout, Milk10k)(str(folder))


@pytest.mark.parametrize("case", CELLS)
def test_every_word_is_as_a_blank(copied: Copied, case: str) -> None:
    layout, name, column = CELLS[case]
    folder = copied(layout)

    def written(text: str) -> Dataset:
        def change(rows: list[dict[str, str]]) -> None:
            for row in rows[:5]:
                row[column] = text

        edit(folder / name, change)
        return opened(layout, folder)

    blank = written("")

    def is_blank(word: str) -> None:
        worded = written(word)
        assert worded.studies() == blank.studies()
        assert worded.labels == blank.labels
        (note,) = [note for note in worded.notes if note not in blank.notes]
        assert note.startswith(f"Treated as unknown in {Path(name).name}, {column}: 5 x {word!r}.")
        assert ("-o manifest.unknown=" in note) == (layout == "manifest")

    assert violations(is_blank, [(word,) for word in WORDS]) == []


def test_the_words_of_a_manifest_are_a_choice(copied: Copied) -> None:
    folder = copied("manifest")
    options = bind(Manifest, "dataset", {"unknown": "NA,?"})
    assert options == {"unknown": ("NA", "?")}
    assert bind(Manifest, "dataset", {"unknown": ""}) == {"unknown": ()}

    def change(rows: list[dict[str, str]]) -> None:
        for number, row in enumerate(rows):
            row["PN"] = ("NA", "?", "none", "")[number % 4]

    edit(folder / "manifest.csv", change)
    path = str(folder / "manifest.csv")
    data = Manifest(path)
    assert "PN" not in {*data.modalities, *(label.name for label in data.labels)}
    assert any(
        "PN (0 different values in 0 rows, 3 x '?', 3 x 'NA', 3 x 'none' unknown)" in note
        for note in data.notes
    )
    classes = [
        Manifest(path, labels=("PN",), classes=("PN:none|x",)).labels[0].classes,
        Manifest(path, labels=("PN",), unknown=("na",)).labels[0].classes,
        Manifest(path, labels=("PN",), unknown=()).labels[0].classes,
    ]
    assert classes == [("none", "x"), ("?", "none"), ("?", "NA", "none")]


def test_a_word_that_is_a_class_stays_one(copied: Copied) -> None:
    folder = copied("manifest")

    def change(rows: list[dict[str, str]]) -> None:
        for number, row in enumerate(rows):
            row["PN"] = ("missing", "there", "NA")[number % 3]

    edit(folder / "manifest.csv", change)
    data = Manifest(str(folder / "manifest.csv"), classes=("PN:missing|there",))
    assert [study.labels.get("PN") for study in data.studies()[:3]] == [0, 1, None]
    # What Derm7pt calls absent is a class.
    labels = Derm7pt(str(copied("derm7pt"))).labels
    assert all("ABS" in label.classes for label in labels[1:])


def test_a_column_that_loses_its_classes_says_so(copied: Copied) -> None:
    folder = copied("manifest")

    def change(rows: list[dict[str, str]]) -> None:
        for number, row in enumerate(rows):
            row["PN"] = "+-"[number % 2]

    edit(folder / "manifest.csv", change)
    notes = Manifest(str(folder / "manifest.csv")).notes
    assert any("PN (1 different values in 6 rows, 6 x '-' unknown)" in note for note in notes)
    assert "PN" in [
        label.name for label in Manifest(str(folder / "manifest.csv"), unknown=()).labels
    ]


# Spellings


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("Nevus", "nevus", "40 x 'Nevus' and 8 x 'nevus' are 2 classes that differ only in case"),
        ("True", "true", "40 x 'True' and 8 x 'true' are 2 classes that differ only in case"),
        ("a b", "a  b", "8 x 'a  b' and 40 x 'a b' are 2 classes that differ only in spaces"),
        (
            "né",
            unicodedata.normalize("NFD", "né"),
            "8 x 'ne\\u0301' and 40 x 'n\\xe9' are 2 classes that differ only in Unicode form",
        ),
    ],
)
def test_classes_in_several_spellings(tmp_path: Path, one: str, other: str, said: str) -> None:
    path = tmp_path / "my.csv"
    lines = [f"{n},train,{n}.jpg,{'BCC' if n < 2 else one if n > 9 else other}" for n in range(50)]
    path.write_text("\n".join(["id,split,derm,DIAG", *lines]), encoding="utf-8")
    data = Manifest(str(path))
    assert {one, other} < set(data.labels[0].classes)
    note = f"Label DIAG: {said}. If they mean the same, write them the same way in the table."
    assert spelled_twice(data.labels, data.studies()) == [note]
    report = check(data)
    assert note in report.warnings
    assert note not in [*report.notes, *data.notes]
    assert f"warning: {note}" in shown(path)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("P1", "p1", "'P1' and 1 x 'p1' are 2 groups that differ only in case"),
        ("P 1", "P1", "'P 1' and 1 x 'P1' are 2 groups that differ only in spaces"),
        ("Müller", "Muller", "'Müller' and 1 x 'Muller' are 2 groups that differ only in accents"),
    ],
)
def test_groups_in_several_spellings(tmp_path: Path, one: str, other: str, said: str) -> None:
    """They may stand in two splits: the check and the training say so, once each."""
    path = tmp_path / "my.csv"
    rows = [f"{n},train,{n}.jpg,{other if n == 9 else one if n > 6 else n}" for n in range(10)]
    path.write_text("\n".join(["id,split,derm,group", *rows]), encoding="utf-8")
    data = Manifest(str(path))
    note = f"Groups: 2 x {said}. If they mean the same, write them the same way in the table."
    assert spelled_twice(data.labels, data.studies()) == [note]
    assert shown(path).count(note) == 1


def shown(path: Path) -> str:
    """What the command prints, without colours and in one line per note."""
    from click.testing import CliRunner

    from sm3kit.cli.main import cli

    return CliRunner().invoke(cli, ["data", "check", f"manifest:{path}", "--quick"]).output


# Joins

# How ids of one table may be off; those of the other are P001é, P002é ...
NEAR: dict[str, Callable[[str], str]] = {
    "leading zeros": lambda text: text.replace("P00", "P").replace("P0", "P"),
    "the suffix": lambda text: f"{text}.jpg",
    "case": str.lower,
    "spaces": lambda text: text.replace("P", "P "),
    "Unicode form": lambda text: unicodedata.normalize("NFD", text),
}
# {join: (layout, table whose ids are off, column, the other tables with that column)}.
JOINS = {
    "milk10k diagnosis": ("milk10k", TRUTH, "lesion_id", [METADATA]),
    "milk10k archive diagnosis": (
        "milk10k-archive",
        "supplements/training_gt.csv",
        "lesion_id",
        ["metadata.csv", "supplements/training_input.csv"],
    ),
    "milk10k archive input": (
        "milk10k-archive",
        "supplements/training_input.csv",
        "isic_id",
        ["metadata.csv"],
    ),
}


def renumbered(rows: list[dict[str, str]], column: str, names: dict[str, str]) -> None:
    for row in rows:
        row[column] = names.setdefault(row[column], f"P{len(names) + 1:03}é")


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("kind", [*NEAR, "everything"])
def test_ids_that_do_not_meet(copied: Copied, join: str, kind: str) -> None:
    layout, name, column, others = JOINS[join]
    folder, names = copied(layout), dict[str, str]()
    for one in [*others, name]:
        edit(folder / one, lambda rows: renumbered(rows, column, names))
    whole = opened(layout, folder)
    assert not any("no match" in note for note in whole.notes)
    off = NEAR.get(kind, lambda text: f"other{text}")

    def first(rows: list[dict[str, str]]) -> None:
        rows[0][column] = off(rows[0][column])

    def rest(rows: list[dict[str, str]]) -> None:
        for row in rows[1:]:
            row[column] = off(row[column])

    edit(folder / name, first)
    notes = [note for note in opened(layout, folder).notes if "has no match among the" in note]
    assert len(notes) == 2
    assert all(f"differ only in {kind}." in note or kind == "everything" for note in notes)
    edit(folder / name, rest)
    with pytest.raises(DataError) as error:
        opened(layout, folder)
    said = str(error.value)
    assert f": none of the rows of {Path(name).name} matches any of the " in said
    assert (f"differ only in {kind}." in said) == (kind != "everything")
    assert ("the first are 'otherP" in said) == (kind == "everything")


# {join: (layout, table, a value of the row that matters and another)}.
REPEATS = {
    "manifest": ("manifest", "manifest.csv", "derm", "other.jpg"),
    "milk10k images": ("milk10k", METADATA, "sex", "NA"),
    "milk10k diagnosis": ("milk10k", TRUTH, "hot", ""),
    "milk10k archive": ("milk10k-archive", "metadata.csv", "sex", "NA"),
    "milk10k archive input": ("milk10k-archive", "supplements/training_input.csv", "sex", "NA"),
    "isic": ("isic", "metadata.csv", "sex", "NA"),
}


@pytest.mark.parametrize("join", REPEATS)
def test_rows_that_are_there_twice(copied: Copied, join: str) -> None:
    layout, name, column, value = REPEATS[join]
    folder = copied(layout)
    before = opened(layout, folder)
    edit(folder / name, lambda rows: rows.append(dict(rows[0])))
    after = opened(layout, folder)
    assert after.studies() == before.studies()
    count = len((folder / name).read_text().splitlines())
    note = f"1 row repeats another and counts once: row {count} of {Path(name).name} (as row 2)."
    assert [one for one in after.notes if one not in before.notes] == [note]

    def change(rows: list[dict[str, str]]) -> None:
        if column == "hot":
            hot = next(key for key, cell in rows[-1].items() if cell == "1.0")
            rows[-1] |= {hot: "0.0", "NV" if hot != "NV" else "MEL": "1.0"}
        else:
            rows[-1][column] = value

    edit(folder / name, change)
    with pytest.raises(DataError, match=rf"row {count}, .* is also in row 2, with other values\."):
        opened(layout, folder)


@pytest.mark.parametrize(("cell", "good"), [("0.9", False), ("0.9999999", True), ("2", False)])
def test_a_one_that_is_none(copied: Copied, cell: str, good: bool) -> None:
    folder = copied("milk10k")
    before = opened("milk10k", folder).studies()
    place = ""

    def change(rows: list[dict[str, str]]) -> None:
        nonlocal place
        place = next(key for key, value in rows[0].items() if value == "1.0")
        rows[0][place] = cell

    edit(folder / TRUTH, change)
    if good:
        assert opened("milk10k", folder).studies() == before
        return
    with pytest.raises(DataError) as error:
        opened("milk10k", folder)
    assert str(error.value) == (
        f"{folder / TRUTH}, row 2, column {place!r}: {cell!r} is not 0, 1 or blank. Correct the cell."
    )


# {what differs: (as a table has it, as the folder has it)}.
PATHS = {
    "leading zeros": ("1.jpg", "001.jpg"),
    "the suffix": ("1.jpg", "1.png"),
    "case": ("a.jpg", "A.JPG"),
    "spaces": ("a.jpg", "a .jpg"),
    "Unicode form": ("é.jpg", unicodedata.normalize("NFD", "é.jpg")),
}


@pytest.mark.parametrize("folder", ["", "images/"])
@pytest.mark.parametrize("kind", PATHS)
def test_images_that_are_called_otherwise(tmp_path: Path, kind: str, folder: str) -> None:
    written, there = PATHS[kind]
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / there).touch()
    (tmp_path / folder / f".{written}").touch()
    path = tmp_path / "my.csv"
    path.write_text(f"id,split,derm\n1,train,{folder}{written}\n", encoding="utf-8")
    (problem,) = check(Manifest(str(path))).problems
    assert problem.startswith(
        f"1 image missing, first {tmp_path}/{folder}{written} (study 1, derm)"
    )
    assert problem.endswith(f"differ only in {kind}")
