"""Photographs that a table names: at their usual paths, or beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sm3kit.core.errors import DataError
from sm3kit.tables.photos import FilesBeside


def test_the_usual_path_comes_first_and_stays_if_nothing_is_there(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "b.JPEG", ".c.jpg", "d.gif", "in/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files = FilesBeside()
    usual = ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "in/e.jpg")
    found = [Path(files.find(tmp_path, name, "row 2")).relative_to(tmp_path) for name in usual]
    assert [path.as_posix() for path in found] == [
        *("a.jpg", "b.JPEG", "c.jpg", "d.jpg", "e.jpg", "in/e.jpg")
    ]
    assert files.notes() == ["Files found under another suffix or case: 1 of 6."]


@pytest.mark.parametrize("name", ["gone/a.jpg", "x" * 300 + "/a.jpg", "nul\0/a.jpg", "file/a.jpg"])
def test_a_folder_that_cannot_be_listed_tells_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    files = FilesBeside()
    assert files.find(tmp_path, name, "row 2") == f"{tmp_path}/{name}"
    assert files.notes() == []


def test_two_files_may_be_meant(tmp_path: Path) -> None:
    for name in ("a.JPG", "A.png"):
        (tmp_path / name).touch()
    with pytest.raises(DataError) as error:
        FilesBeside().find(tmp_path, "a.jpg", "t.csv, row 2")
    assert str(error.value) == (
        f"t.csv, row 2: 'a.jpg' may be {tmp_path}/A.png or {tmp_path}/a.JPG. Keep one."
    )
