"""Files, folders, and parts of them."""

import pytest

from sm3kit.core.paths import file_and_part


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.png", ("a.png", "")),
        ("ct.nii.gz#slice=12", ("ct.nii.gz", "slice=12")),
        ("table.csv#id=a#b", ("table.csv", "id=a#b")),
        ("folder/#", ("folder/", "")),
    ],
)
def test_the_part_stands_behind_the_mark(path, found):
    assert file_and_part(path) == found


def test_a_file_that_is_there_is_taken_whole(tmp_path):
    path = tmp_path / "lesion#2.png"
    path.touch()
    assert file_and_part(str(path)) == (str(path), "")
    assert file_and_part(f"{path}#id=a#b") == (str(path), "id=a#b")
