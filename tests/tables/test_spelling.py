"""What two spellings of one word differ in, and classes that are split by it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from sm3kit.tables.csv_table import Table, read_table
from sm3kit.tables.spelling import (
    OF_IDS,
    OF_NAMES,
    UNKNOWN_WORDS,
    blank_unknown,
    differences,
    fold,
    quote_all,
    spelling_notes,
)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("Nevus é", "case"),
        ("nevus  é", "spaces"),
        ("nevus\u00a0é", "spaces"),
        (unicodedata.normalize("NFD", "nevus é"), "Unicode form"),
        ("ｎevus é", "Unicode form"),
        ("NEVUSÉ", "spaces and case"),
        (unicodedata.normalize("NFD", "NEVUSÉ"), "spaces and Unicode form and case"),
    ],
)
def test_spellings_of_one_word(other: str, said: str) -> None:
    assert fold(other) == fold("nevus é")
    assert differences(["nevus é", other]) == said


@pytest.mark.parametrize(
    ("one", "other"), [("nevus", "naevus"), ("1", "01"), ("a.b", "a"), ("e", "é"), ("T1", "T2")]
)
def test_other_words(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("1", "001", "leading zeros"),
        ("CHUM-7", "CHUM-007", "leading zeros"),
        ("1", "1.0", "the suffix"),
        ("case7", "case7.nii.gz", "the suffix"),
        ("ISIC_1", "ISIC_1.jpg", "the suffix"),
        ("P1", "p01.JPG", "case and the suffix and leading zeros"),
    ],
)
def test_ids(one: str, other: str, said: str) -> None:
    assert fold(one, OF_IDS) == fold(other, OF_IDS)
    assert differences([one, other], OF_IDS) == said


@pytest.mark.parametrize(("one", "other"), [("1", "10"), ("10", "100"), ("0", ""), ("1.5", "1.7")])
def test_other_ids(one: str, other: str) -> None:
    assert fold(one, OF_IDS) != fold(other, OF_IDS)


def test_texts_that_look_alike_are_quoted_in_ascii() -> None:
    assert quote_all(["é", "e"]) == ["'é'", "'e'"]
    assert quote_all(["é", unicodedata.normalize("NFD", "é")]) == ["'\\xe9'", "'e\\u0301'"]


@pytest.mark.parametrize(
    ("one", "other"), [("Müller", "Muller"), ("Ёлкин", "Елкин"), ("né", "ne\u0301"), ("É", "e")]
)
def test_names_with_and_without_accents(one: str, other: str) -> None:
    assert fold(one, OF_NAMES) == fold(other, OF_NAMES)


@pytest.mark.parametrize(("one", "other"), [("か", "が"), ("कि", "क"), ("ø", "o"), ("ß", "s")])
def test_marks_of_other_scripts_make_other_names(one: str, other: str) -> None:
    assert fold(one, OF_NAMES) != fold(other, OF_NAMES)


def test_of_many_sets_three_are_named() -> None:
    counts = {name: 1 for number in range(5) for name in (f"p{number}", f"P{number}")}
    notes = spelling_notes("Groups", counts, "groups")
    assert len(notes) == 4
    assert notes[0].startswith("Groups: 1 x 'p0' and 1 x 'P0' are 2 groups that differ only in")
    assert notes[-1] == "Groups: 2 more sets of groups differ only in this way."


def test_classes_that_are_one() -> None:
    counts = {"nevus": 40, "Nevus": 3, "melanoma": 7, "true": 1, "TRUE": 2, "True": 0}
    assert spelling_notes("Label DIAG", counts) == [
        "Label DIAG: 40 x 'nevus' and 3 x 'Nevus' are 2 classes that differ only in case. "
        "If they mean the same, write them the same way in the table.",
        "Label DIAG: 1 x 'true' and 2 x 'TRUE' and 0 x 'True' are 3 classes that differ only in "
        "case. If they mean the same, write them the same way in the table.",
    ]
    assert spelling_notes("Label DIAG", {"absent": 1, "present": 2}) == []


# What people and programs write, the reported ones first.
WRITTEN = [
    *("NA", "N/A", "n/a", "#N/A", "<NA>", "None", "null", "NULL", "?", "-", ".", "missing"),
    *("-1", "-1.0", "nan", "NaN", "unknown", "Unknown", "unk", "N / A", "ＮＡ"),
    # Longer than any word, and the same.
    *("-1.0000000000", "N    /    A", "ＵＮＫＮＯＷＮ", "UNKNO\u00a0WN"),
]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    path = tmp_path / "t.csv"
    path.write_text("id,DIAG,sex\nNA,NA,f\n2,MEL,?\n3,na,\n4,-,missing\n", encoding="utf-8")
    return read_table(path, "people")


@pytest.mark.parametrize("word", WRITTEN)
def test_every_word_becomes_a_blank(table: Table, word: str) -> None:
    table.path.write_text(f"id,DIAG\n1,{word}\n", encoding="utf-8")
    known, (note,) = blank_unknown(read_table(table.path, "people"), ["diag"])
    assert known.rows[0]["DIAG"] == ""
    assert note == f"Treated as unknown in t.csv, diag: 1 x {word!r}."


@pytest.mark.parametrize(
    "word", ["absent", "no", "0", "1", "+", "--1", "nevus", "normal", "-2", "NA" * 9, "a/b.jpg"]
)
def test_others_stay(table: Table, word: str) -> None:
    table.path.write_text(f"id,DIAG\n1,{word}\n", encoding="utf-8")
    read = read_table(table.path, "people")
    assert blank_unknown(read, ["DIAG"]) == (read, [])


def test_only_named_columns_are_looked_at_and_all_is_counted(table: Table) -> None:
    known, notes = blank_unknown(table, ["DIAG", "sex", "gone"], option="manifest.unknown")
    assert [(row.number, row["id"], row["DIAG"], row["sex"]) for row in known.rows] == [
        *((2, "NA", "", "f"), (3, "2", "MEL", "")),
        *((4, "3", "", ""), (5, "4", "", "")),
    ]
    assert notes == [
        "Treated as unknown in t.csv, DIAG, sex: 1 x '-', 1 x '?', 1 x 'NA', 1 x 'missing', "
        "1 x 'na'. Other words are set with -o manifest.unknown=WORD,..."
    ]


def test_a_word_that_is_a_class_stays_one(table: Table) -> None:
    known, notes = blank_unknown(table, ["DIAG", "sex"], classes={"sex": ("f", "missing")})
    assert [row["sex"] for row in known.rows] == ["f", "", "", "missing"]
    assert "missing" not in notes[0]


def test_the_words_are_a_choice(table: Table) -> None:
    known, _ = blank_unknown(table, ["DIAG", "sex"], ["mel", "-"])
    assert [row["DIAG"] for row in known.rows] == ["NA", "", "na", ""]
    assert blank_unknown(table, ["DIAG", "sex"], []) == (table, [])


def test_the_list_has_each_word_once() -> None:
    assert len({word.casefold() for word in UNKNOWN_WORDS}) == len(UNKNOWN_WORDS)
