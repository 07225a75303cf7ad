"""Files of the same content."""

from __future__ import annotations

from pathlib import Path

from sm3kit.tables.duplicates import HEAD, same_content


def test_only_equal_bytes_are_doubles(tmp_path: Path) -> None:
    long = b"x" * HEAD
    contents = {
        "a": b"same",
        "b": b"same",
        "c": b"else",
        "d": b"longer",
        "e": long + b"1",
        "f": long + b"2",
        "g": long + b"1",
    }
    sizes = {}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        sizes[str(tmp_path / name)] = len(content)
    found = {Path(path).name: Path(first).name for path, first in same_content(sizes).items()}
    assert found == {"a": "a", "b": "a", "e": "e", "g": "e"}


def test_folders_have_no_double(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert same_content({str(tmp_path / "a"): 40, str(tmp_path / "b"): 40}) == {}
