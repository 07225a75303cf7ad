"""Words for "unknown" become blanks, and are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from sm3kit.tables.csv_table import Table, read_table
from sm3kit.tables.unknown_words import UNKNOWN_WORDS, blank_unknown

# What people and programs write, the reported ones first.
WRITTEN = [
    *("NA", "N/A", "n/a", "#N/A", "<NA>", "None", "null", "NULL", "?", "-", ".", "missing"),
    *("-1", "-1.0", "nan", "NaN", "unknown", "Unknown", "unk", "N / A", "ＮＡ"),
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
    assert note == f"Taken as unknown in t.csv, diag: 1 x {word!r}."


@pytest.mark.parametrize("word", ["absent", "no", "0", "1", "+", "--1", "nevus", "normal", "-2"])
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
        "Taken as unknown in t.csv, DIAG, sex: 1 x '-', 1 x '?', 1 x 'NA', 1 x 'missing', "
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
