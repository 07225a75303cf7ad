"""One row per key, ids without a partner, and what keeps them apart."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from sm3kit.core.errors import DataError
from sm3kit.tables.csv_table import Row, Table, read_table
from sm3kit.tables.joining import join_notes, near_path, one_per_key, visible_paths

# {what differs: (as a table has it, as a folder has it)}.
NEAR = {
    "leading zeros": ("1", "001"),
    "the suffix": ("001", "001.nii.gz"),
    "case": ("P1", "p1"),
    "spaces": ("p1", " p1 "),
    "Unicode form": ("é", unicodedata.normalize("NFD", "é")),
    "case and leading zeros": ("P1", "p01"),
}


def table(path: Path, *lines: str) -> Table:
    path.write_text("\n".join(lines), encoding="utf-8")
    return read_table(path, "people")


def keyed(*tables: Table) -> tuple[dict[str, Row], list[str]]:
    entries = [(row["id"], row, one, row) for one in tables for row in one.rows]
    return one_per_key(entries, "id", "Keep one.")


def test_rows_by_their_id(tmp_path: Path) -> None:
    found, notes = keyed(table(tmp_path / "a.csv", "id,dx", "1,A", "2,B"))
    assert {key: row["dx"] for key, row in found.items()} == {"1": "A", "2": "B"}
    assert notes == []


def test_equal_rows_count_once(tmp_path: Path) -> None:
    found, notes = keyed(table(tmp_path / "a.csv", "id,dx", "1,A", "2,B", "1,A"))
    assert list(found) == ["1", "2"]
    assert notes == ["1 row repeats another and counts once: row 4 of a.csv (as row 2)."]
    _, notes = keyed(table(tmp_path / "a.csv", "id,dx", "1,A", *["1,A"] * 4))
    assert notes == [
        "4 rows repeat others and count once: row 3 of a.csv (as row 2), row 4 of a.csv (as row 2), "
        "row 5 of a.csv (as row 2) and 1 more."
    ]


def test_two_tables_may_say_the_same(tmp_path: Path) -> None:
    one, other = (table(tmp_path / name, "id,dx", "1,A") for name in ("a.csv", "b.csv"))
    assert keyed(one, other)[1] == []


def test_rows_that_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        keyed(table(tmp_path / "a.csv", "id,dx", "1,A", "2,B", "1,B"))
    assert str(error.value) == (
        f"{tmp_path}/a.csv, row 4, column 'id': '1' is also in row 2, with other values. Keep one."
    )
    one = table(tmp_path / "a.csv", "id,dx", "1,A")
    with pytest.raises(DataError) as error:
        keyed(one, table(tmp_path / "b.csv", "id,dx", "2,A", "1,B"))
    assert str(error.value) == (
        f"{tmp_path}/b.csv, row 3, column 'id': '1' is also in {tmp_path}/a.csv, row 2, with other "
        "values. Keep one."
    )


def test_a_blank_key(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        keyed(table(tmp_path / "a.csv", "id,dx", "1,A", ",B"))
    assert str(error.value) == f"{tmp_path}/a.csv, row 3, column 'id': blank. Keep one."


def joined(ids: list[str], others: list[str], so: str = "") -> list[str]:
    return join_notes(Path("/d"), ("rows of labels.csv", ids), ("folders", others), so)


def test_all_have_a_partner() -> None:
    assert joined(["1", "2"], ["2", "3", "1"]) == []
    assert joined([], ["1"]) == []


def test_some_have_none() -> None:
    assert joined(["1", "2"], ["2"]) == [
        "1 of 2 rows of labels.csv has no match among the folders: '1'."
    ]
    assert joined(list("12345"), ["5"], "labels are unknown") == [
        "4 of 5 rows of labels.csv have no match among the folders, so labels are unknown: "
        "'1', '2', '3' and 1 more."
    ]


@pytest.mark.parametrize("kind", NEAR)
def test_near_misses(kind: str) -> None:
    one, other = NEAR[kind]
    with pytest.raises(DataError) as error:
        joined(["x", one], ["y", other])
    shown = (ascii if kind == "Unicode form" else repr)(one)
    found = str(error.value)
    assert found.startswith(
        "/d: none of the rows of labels.csv matches any of the folders: "
        f"{shown} and {ascii(other)} differ only in {kind}. "
    )
    assert found.endswith("Write the ids the same way on both sides.")
    (note,) = joined(["x", one], ["x", other])
    assert note.endswith(f": {one!r}. {shown} and {ascii(other)} differ only in {kind}.")


def test_ids_that_are_far_apart() -> None:
    with pytest.raises(DataError) as error:
        joined(["x", "z"], ["001"])
    assert str(error.value) == (
        "/d: none of the rows of labels.csv matches any of the folders: the first are 'x' and "
        "'001'. Write the ids the same way on both sides."
    )
    with pytest.raises(DataError, match=r"any of the folders: none is there\. Write"):
        joined(["x"], [])


def test_a_partner_that_is_taken_is_no_near_miss() -> None:
    assert "differ" not in joined(["p1", "P1"], ["p1"])[0]


@pytest.mark.parametrize("kind", NEAR)
def test_paths(tmp_path: Path, kind: str) -> None:
    one, other = NEAR[kind]
    (tmp_path / other / "inner").mkdir(parents=True)
    (tmp_path / f".{one}").mkdir()
    assert near_path(tmp_path / one / "inner" / "a.jpg").endswith(f"differ only in {kind}")
    assert near_path(tmp_path / other / "inner") == ""
    assert near_path(tmp_path / "gone") == ""


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    root = tmp_path / ".cache" / "data"
    for name in ("b/ct.nii", "a/ct.nii", "a/._ct.nii", ".DS_Store/ct.nii", "._a/ct.nii", "c"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    assert visible_paths(root) == [root / "a", root / "b", root / "c"]
    assert visible_paths(root, "*/*ct.nii") == [root / "a/ct.nii", root / "b/ct.nii"]
    assert visible_paths(root, "**/*.nii") == [root / "a/ct.nii", root / "b/ct.nii"]
    assert visible_paths(root / "away") == []
