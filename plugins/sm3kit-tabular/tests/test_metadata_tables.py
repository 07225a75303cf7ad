"""Tables of metadata as they come: unknown values, spellings, and studies without a row."""

import csv

import pytest

from sm3kit.api import UNKNOWN_WORDS, DataError, component, read_table
from sm3kit_tabular.columns import category, number
from sm3kit_tabular.derm7pt import Derm7ptMetadata
from sm3kit_tabular.joining import Rows, WithMetadata
from sm3kit_tabular.manifest import MetadataManifest
from sm3kit_tabular.metadata import Metadata
from sm3kit_tabular.milk10k import Milk10kMetadata

WORDS = [*UNKNOWN_WORDS, "nan", "n/a", "NULL", "Unknown"]
# {data set: (plugin, layout, table, column of words)}.
SETS = {
    "derm7pt": (Derm7ptMetadata, "derm7pt", "meta/meta.csv", "elevation"),
    "milk10k": (Milk10kMetadata, "milk10k", "MILK10k_Training_Metadata.csv", "site"),
}


def vectors(dataset):
    """{study: its vector}."""
    spec = dataset.modalities["meta"]
    reader = Metadata(**spec.options)
    found = {one.id: one.images["meta"] for one in dataset.studies() if "meta" in one.images}
    return {name: reader.read(path).ravel().tolist() for name, path in found.items()}


@pytest.fixture
def studies(tmp_path):
    """A manifest of 40 studies for training; changes is {column: values}."""

    def write(**changes):
        columns = {
            "id": [f"s{i}" for i in range(40)],
            "split": ["train"] * 40,
            "photo": [f"{i}.png" for i in range(40)],
            "DIAG": ["A", "B"] * 20,
            "age": [str(20 + i // 2) for i in range(40)],
            "sex": ["female", "male"] * 20,
            **changes,
        }
        path = tmp_path / "studies.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        return path

    return write


def opened(path, **options):
    return MetadataManifest(str(path), columns=("age:number", "sex"), labels=("DIAG",), **options)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("word", WORDS)
def test_every_word_is_as_a_blank_in_fixed_columns(drawn, edited, name, word):
    plugin, layout, table, column = SETS[name]
    folder = drawn(layout, 12)
    found = []
    for text in ("", word):

        def change(place, row, text=text):
            if place < 5:
                row[column] = text

        edited(folder / table, change)
        dataset = plugin(str(folder))
        found.append((vectors(dataset), dataset.notes))
    assert found[0][0] == found[1][0]
    said = f"Treated as unknown in {(folder / table).name}, {column}: 5 x {word!r}."
    assert [note for note in found[1][1] if note not in found[0][1]] == [said]


@pytest.mark.parametrize("word", WORDS)
def test_every_word_is_as_a_blank_in_a_manifest(studies, word):
    ages, sexes = [str(20 + i // 2) for i in range(38)], ["female", "male"] * 19
    path = studies(age=[*ages, "", ""], sex=[*sexes, "", ""])
    blank = opened(path)
    found = vectors(blank)
    same = opened(studies(age=[*ages, "", ""], sex=[*sexes, word, word]))
    assert vectors(same) == found
    assert [study.id for study in same.studies() if "meta" not in study.images] == ["s38", "s39"]
    (note,) = [note for note in same.notes if note not in blank.notes]
    assert note.startswith(f"Treated as unknown in studies.csv, sex: 2 x {word!r}. Other words ")
    assert "-o metadata-manifest.unknown=WORD" in note
    numbers = opened(studies(age=[*ages, word, word], sex=[*sexes, "", ""]))
    if word == "-1":  # In a column of numbers that is one.
        assert "s39" in vectors(numbers)
    else:
        assert vectors(numbers) == found


def test_the_words_are_a_choice_and_the_modality_keeps_to_them(studies):
    path = studies(sex=["female", "NA", "x", "x"] * 10, age=["50", "60", "gone", "gone"] * 10)
    own = opened(path, unknown=("x", "gone"))
    assert own.modalities["meta"].options["categories"] == ("sex:NA|female",)
    assert own.modalities["meta"].options["unknown"] == ("x", "gone")
    found = vectors(own)
    assert found["s0"][:2] == [0, 1]
    assert found["s1"][:2] == [1, 0]
    assert "s2" not in found
    fitted = Metadata(**own.modalities["meta"].options).fitted
    assert fitted["unknown"] == ["x", "gone"]
    with pytest.raises(DataError, match="'gone' is not a number"):
        opened(path)
    path = studies()
    assert "unknown" not in opened(path).modalities["meta"].options


def test_a_value_that_is_listed_is_known(studies):
    path = studies(sex=["missing", "NA"] * 20)
    reader = Metadata(categories=("sex:there|missing",), numbers=())
    assert reader.read(f"{path}#id=s0").ravel().tolist() == [0, 1]
    assert reader.read(f"{path}#id=s1").ravel().tolist() == [0, 0]


def test_values_in_two_spellings(studies):
    notes = opened(studies(sex=["Male", *["female", "male"] * 19, "female"])).notes
    assert (
        "Column sex: 1 x 'Male' and 19 x 'male' are 2 classes that differ only in case. "
        "If they mean the same, write them the same way in the table."
    ) in notes


# How the ids of the table may be off from those of the studies, s0é to s39é.
NEAR = {
    "leading zeros": lambda text: text.replace("s", "s0"),
    "the suffix": lambda text: f"{text}.jpg",
    "case": str.upper,
    "spaces": lambda text: text.replace("s", "s "),
    "Unicode form": lambda text: text.replace("é", "e\u0301"),
}


@pytest.mark.parametrize("kind", [*NEAR, "everything"])
def test_studies_without_a_row(studies, tmp_path, kind):
    names = [f"s{i}é" for i in range(40)]
    off = NEAR.get(kind, lambda text: f"other{text}")
    inside = component("datasets", "manifest")(str(studies(id=names)), labels=("DIAG",))
    columns = [category("sex:female|male"), number("age:50:20")]

    def joined(ids):
        lines = ["id,sex,age", *(f"{one},male,60" for one in ids)]
        (tmp_path / "more.csv").write_text("\n".join(lines), encoding="utf-8")
        table = read_table(tmp_path / "more.csv", "a row per study")
        return WithMetadata(inside, Rows(table, "id", lambda study: study.id), columns)

    assert not any("no match" in note for note in joined(names).notes)
    found = joined([*names[:-1], off(names[-1])])
    assert [study.id for study in found.studies() if "meta" not in study.images] == ["s39é"]
    (note,) = [note for note in found.notes if "no match" in note]
    assert note.startswith("1 of 40 studies has no match among the rows of more.csv: 's39é'.")
    assert note.endswith(f" differ only in {kind}.") == (kind != "everything")
    with pytest.raises(DataError) as error:
        joined(map(off, names))
    said = str(error.value)
    assert said.startswith(
        f"{tmp_path}/more.csv: none of the studies matches any of the rows of more.csv: "
    )
    assert (f" differ only in {kind}. " in said) == (kind != "everything")
    assert ("the first are 's0é' and 'others0é'." in said) == (kind == "everything")


def test_rows_that_are_there_twice(studies):
    path = studies()
    plain = vectors(opened(path))
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, lines[1]]), encoding="utf-8")
    found = opened(path)
    assert vectors(found) == plain
    assert (
        found.notes.count(
            "1 row repeats another and counts once: row 42 of studies.csv (as row 2)."
        )
        == 1
    )
    path.write_text("\n".join([*lines, lines[1].replace("female", "male")]), encoding="utf-8")
    with pytest.raises(DataError, match=r"row 42, .* is also in row 2, with other values\."):
        opened(path)
