"""CSV files that people open: no cell is a formula, and every text comes back as it was."""

import io

import pytest

from sm3kit.tables.csv_table import read_table
from sm3kit.tables.spreadsheets import harmless, original, read_rows, write_rows

FORMULAS = [
    *("=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "=cmd|' /C calc'!A0"),
    *("-", "-a", "+49 761", "\uff1d1+1", "\uff20x", "'=1", "''=1"),
]
TEXTS = ["", "a", "a=1", "1-2", "'", "''", "'a", "it's", " =1", "'-0.5", "é", '"', "a,b", "a\nb"]
NUMBERS = ["-0.5", "+3", "-1e-5", "-inf", "0", "-0", "nan"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text):
    assert harmless(text) == f"'{text}"
    assert original(harmless(text)) == text


@pytest.mark.parametrize("text", [*TEXTS, *NUMBERS])
def test_texts_and_numbers_stay(text):
    assert harmless(text) == original(text) == text


@pytest.mark.parametrize("value", [-0.5, -3, None, True])
def test_what_is_no_text_stays(value):
    assert harmless(value) is value


def test_rows_come_back_as_they_were():
    out = io.StringIO(newline="")
    rows = [[text, -0.5] for text in [*FORMULAS, *TEXTS, *NUMBERS]]
    write_rows(out, [["=heading", "value"], *rows])
    out.seek(0)
    assert read_rows(out) == [{"=heading": text, "value": "-0.5"} for text, _ in rows]


def test_a_table_comes_back_as_it_was(tmp_path):
    file = tmp_path / "table.csv"
    rows = [["=id", "-x"], ["=1+1", "-0.5"], ["@a", "'=b"], ["\tc", "'d"]]
    with file.open("w", newline="", encoding="utf-8") as part:
        write_rows(part, rows)
    assert "\n=" not in file.read_text() and ",=" not in file.read_text()
    table = read_table(file, "rows")
    assert table.columns == ("=id", "-x")
    assert [[row["=id"], row["-x"]] for row in table.rows] == rows[1:]
