"""Which images belong together, in which order, and who is in which split."""

from pathlib import Path

import pytest

from sm3kit.api import DataError
from sm3kit_eye.pairing import images_in, key_of, natural, pair_by_key
from sm3kit_eye.topcon_mm import _rarest

PATTERN = r"(?P<patient>\w+)_(?P<side>[LR])_(?P<scan>\w+)"


def paths(*names):
    return [Path("folder", name) for name in names]


def test_pairs_are_many_to_many_and_in_natural_order():
    files = {
        "ct": paths("b_L_10.png", "b_L_9.png", "a10_R_x.png", "a9_R_x.png"),
        "pet": paths("b_L_1.tif", "a9_R_1.tif"),
    }
    found = pair_by_key(files, PATTERN, ("patient", "side"))
    assert list(found) == [("a9", "R"), ("a10", "R"), ("b", "L")]
    assert found["b", "L"] == {
        "ct": (str(Path("folder/b_L_9.png")), str(Path("folder/b_L_10.png"))),
        "pet": (str(Path("folder/b_L_1.tif")),),
    }
    assert set(found["a10", "R"]) == {"ct"}


def test_the_key_is_data():
    files = {"ct": paths("a_L_1.png", "a_R_1.png")}
    assert len(pair_by_key(files, PATTERN, ("patient", "side"))) == 2
    assert len(pair_by_key(files, PATTERN, ("patient",))) == 1


def test_a_name_that_does_not_follow_the_pattern_is_named():
    with pytest.raises(DataError) as error:
        pair_by_key({"ct": paths("a_L_1.png", "notes.png")}, PATTERN, ("patient",))
    assert str(error.value).startswith(
        f"The name of the image {Path('folder/notes.png')} does not follow the pattern {PATTERN}. "
    )


def test_names_with_and_without_suffix_have_one_key():
    assert key_of("a_L_1.PNG", PATTERN, ("patient",)) == key_of("a_L_1", PATTERN, ("patient",))
    assert key_of("a_L_1.txt", PATTERN, ("patient",)) is None


def test_numbers_sort_by_value():
    names = ["10_image.jpg", "9_image.jpg", "100_image.jpg", "a_2", "a_10", "1"]
    assert sorted(names, key=natural) == [
        *("1", "9_image.jpg", "10_image.jpg", "100_image.jpg"),
        *("a_2", "a_10"),
    ]


def test_hidden_files_are_no_images(tmp_path):
    for name in ("2.jpg", "10.JPG", "._2.jpg", "Thumbs.db", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in images_in(tmp_path)] == ["2.jpg", "10.JPG"]
    with pytest.raises(DataError, match=r"There is no folder .*away\. It should hold images\."):
        images_in(tmp_path / "away")


def test_the_rarest_label_is_the_stratum():
    present = {"a": {"x", "y"}, "b": {"x"}, "c": {"x"}, "d": set()}
    assert _rarest(present) == {"a": "y", "b": "x", "c": "x", "d": ""}
