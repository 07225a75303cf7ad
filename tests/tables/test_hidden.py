"""What begins with a dot is no data."""

from __future__ import annotations

from pathlib import Path

from sm3kit.tables.hidden import visible_paths


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    root = tmp_path / ".cache" / "data"
    for name in ("b/ct.nii", "a/ct.nii", "a/._ct.nii", ".DS_Store/ct.nii", "._a/ct.nii", "c"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    assert visible_paths(root) == [root / "a", root / "b", root / "c"]
    assert visible_paths(root, "*/*ct.nii") == [root / "a/ct.nii", root / "b/ct.nii"]
    assert visible_paths(root, "**/*.nii") == [root / "a/ct.nii", root / "b/ct.nii"]
    assert visible_paths(root / "away") == []
