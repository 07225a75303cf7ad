"""CSV files as people save them, and what is answered to those that cannot be read."""

from __future__ import annotations

import gzip
import math
import os
from pathlib import Path

import pytest

from sm3kit.core.errors import DataError
from sm3kit.tables.csv_table import as_number, class_name, read_table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


@pytest.mark.parametrize(
    "content",
    [
        b"id,name\n1,Ann\n2,\xc3\x89va\n",
        b"\xef\xbb\xbfid,name\r\n1,Ann\r\n2,\xc3\x89va\r\n",
        b"id;name\n1;Ann\n2;\xc3\x89va\n",
        b"sep=;\r\nid;name\r\n1;Ann\r\n2;\xc3\x89va\r\n",
        "id\tname\n1\tAnn\n2\tÉva\n".encode("utf-16"),
        b'\n" id ", Name\n1, Ann \n,\n2,"\xc3\x89va"',
        b"id,name,\n1,Ann,\n2,\xc3\x89va,\n",
        b",id,name\n0,1,Ann\n1,2,\xc3\x89va\n",
    ],
    ids=["plain", "mark", "semicolon", "sep", "utf-16", "blanks", "comma-at-end", "row-names"],
)
def test_ways_to_save_the_same_table(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    table = read_table(path, "people")
    assert [name.lower() for name in table.columns] == ["id", "name"]
    assert [(row["id"], row["NAME"]) for row in table.rows] == [("1", "Ann"), ("2", "Éva")]


def test_a_compressed_table(tmp_path: Path) -> None:
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"id,name\n1,Ann\n"))
    assert read_table(path, "people").rows[0]["name"] == "Ann"


@pytest.mark.parametrize(
    "content", [b"id,name\n1,Ann\n", gzip.compress(b"id\n1\n")[:-5], gzip.compress(b"id\n1")[:12]]
)
def test_what_cannot_be_decompressed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.csv.gz"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_table(path, "people")
    assert str(error.value).startswith(f"{path} cannot be decompressed: ")
    assert str(error.value).endswith(". Copy it again from its source.")


def test_row_numbers_are_those_of_a_spreadsheet(path: Path) -> None:
    path.write_text('id,text\n1,"two\nlines"\n\n2,a\n')
    table = read_table(path, "notes")
    assert [row.number for row in table.rows] == [2, 4]
    assert table.place(table.rows[1], "text") == f"{path}, row 4, column 'text'"


def test_a_short_row_ends_in_blanks(path: Path) -> None:
    path.write_text("id,name\n1\n")
    assert read_table(path, "people").rows[0]["name"] == ""


def test_semicolons_with_decimal_commas(path: Path) -> None:
    path.write_text("id;score\n1;0,5\n")
    assert read_table(path, "scores").rows[0]["score"] == "0,5"


@pytest.mark.parametrize(
    ("cell", "name"),
    [("", ""), ("3.0", "3"), ("3.", "3"), ("-1.0", "-1"), ("3.5", "3.5"), ("v1.0", "v1.0")],
)
def test_class_names(cell: str, name: str) -> None:
    assert class_name(cell) == name


def test_rows_of_the_same_cells_are_equal(path: Path) -> None:
    path.write_text("id,name\n1,Ann\n1,Ann\n1,Bea\n")
    first, second, third = read_table(path, "people").rows
    assert first == second != third


@pytest.mark.parametrize(
    ("cell", "flag"),
    [
        *(("", None), ("0", 0), ("1", 1), ("0.0", 0), ("1.0", 1), ("1e0", 1)),
        *(("0.9999999", 1), ("1.0000001", 1), ("-0.0000001", 0)),
    ],
)
def test_flags(path: Path, cell: str, flag: int | None) -> None:
    path.write_text(f"id,MEL\n1,{cell}\n")
    table = read_table(path, "flags")
    assert table.flag(table.rows[0], "MEL") == flag


@pytest.mark.parametrize("cell", ["0.9", "1.00001", "-1", "2", "yes", "nan", "inf"])
def test_what_is_no_flag(path: Path, cell: str) -> None:
    path.write_text(f"id,MEL\n1,{cell}\n")
    table = read_table(path, "flags")
    with pytest.raises(DataError) as error:
        table.one_hot(table.rows[0], ["MEL"])
    assert str(error.value) == (
        f"{path}, row 2, column 'MEL': {cell!r} is not 0, 1 or blank. Correct the cell."
    )


def test_one_hot_rows(path: Path) -> None:
    path.write_text("id,MEL,NV\n1,0,1\n2,0,\n3,1,1\n")
    table = read_table(path, "flags")
    none, several = table.rows[1:]
    assert table.one_hot(table.rows[0], ["MEL", "NV"]) == "NV"
    assert table.one_hot(none, ["MEL", "NV"]) == ""
    with pytest.raises(DataError) as error:
        table.one_hot(several, ["MEL", "NV"])
    assert str(error.value) == (f"{path}, row 4 has a 1 in several columns, MEL and NV. Keep one.")


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"", "{path} is empty. It should hold people."),
        (b"\xef\xbb\xbf \n", "{path} is empty. It should hold people."),
        (b"id,name\n,\n", "{path} has headings but no rows. It should hold people."),
        (
            b"id,name\n1,Ann\n2,\xc9va\n",
            "{path}, row 3 is not UTF-8 text. Save it as 'CSV UTF-8' and try again.",
        ),
        (
            b"PK\x03\x04and so on",
            "{path} is a spreadsheet or a zip file, not a CSV file. "
            "Save it as 'CSV UTF-8' and try again.",
        ),
        (
            b"id,name\n1,Ann,Lee\n",
            "{path}, row 2 has 3 cells, but there are 2 headings. "
            "Put quotation marks around cells that contain the separator.",
        ),
        (
            b'id,name\n1,Ann\n2,"Eva\n',
            "{path}, row 3 cannot be read: unexpected end of data. "
            "Look for a quotation mark that is not closed.",
        ),
        (b"id,Name,name\n1,a,b\n", "{path} has the column 'Name' twice. Rename or remove one."),
    ],
)
def test_answers_to_what_cannot_be_read(path: Path, content: bytes, answer: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_table(path, "people")
    assert str(error.value) == answer.format(path=path)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_table(tmp_path / "no.csv", "people")
    assert str(error.value) == f"There is no CSV file {tmp_path}/no.csv. It should hold people."
    with pytest.raises(DataError) as error:
        read_table(tmp_path, "people")
    assert str(error.value) == f"{tmp_path} is a folder, not a CSV file. It should hold people."


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(DataError) as error:
        read_table(path, "people")
    assert str(error.value) == f"{path} is a named pipe, not a CSV file. It should hold people."


def test_a_nul_is_no_text(path: Path) -> None:
    path.write_bytes(b"id,name\n1,Ann\n2,E\0va\n")
    with pytest.raises(DataError) as error:
        read_table(path, "people")
    assert str(error.value) == (
        f"{path}, row 3 contains a NUL, so it is not text. Save it as 'CSV UTF-8' and try again."
    )


def test_a_missing_column_and_an_unknown_value(path: Path) -> None:
    path.write_text("id,names\n1,Anne\n")
    table = read_table(path, "people")
    table.require(["ID", "Names"])
    with pytest.raises(DataError) as error:
        table.require(["id", "name"], "Add one.")
    assert str(error.value) == (
        f"{path} has no column 'name'. Did you mean 'names'? Its columns: id, names. Add one."
    )
    assert str(table.wrong(table.rows[0], "names", ["ann", "bea"])) == (
        f"{path}, row 2, column 'names': unknown value 'Anne'. Did you mean 'ann'? Known: ann, bea."
    )


def test_of_very_many_columns_some_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",".join(f"c{n}" for n in range(10_000)) + "\n1\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_table(path, "rows").require(["id"])
    assert str(caught.value).endswith("c98, c99 and 9,900 more.")


@pytest.mark.parametrize("unseen", ["\ufeff", "\u200b", "\u200f", "\u2060", "\u00a0\u200e "])
def test_what_nobody_sees_is_no_part_of_a_cell(tmp_path: Path, unseen: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{unseen}id,{unseen}\n{unseen}a{unseen},b\n", encoding="utf-8")
    table = read_table(path, "rows")
    assert table.columns == ("id",)
    assert table.rows[0]["id"] == "a"


@pytest.mark.parametrize("cell", ["1_0", "", "inf", "nan", "1e400", "1,5", "0x1"])
def test_what_is_no_number(cell: str) -> None:
    assert math.isnan(as_number(cell))


def test_separators_alone_are_no_headings(path: Path) -> None:
    path.write_text(",,,\n,,,\n")
    with pytest.raises(DataError, match=r"is empty\. It should hold notes\."):
        read_table(path, "notes")
