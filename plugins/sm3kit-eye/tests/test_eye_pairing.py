"""Which images belong together, in which order, and who is in which split."""

from collections import Counter
from pathlib import Path

import pytest

from sm3kit.api import DataError, OptionError
from sm3kit_eye.pairing import images_in, key_of, natural, pair_by_key
from sm3kit_eye.splitting import rarest, split

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
    assert rarest(present) == {"a": "y", "b": "x", "c": "x", "d": ""}


class TestSplit:
    STRATA = {f"p{n}": "rare" if n < 4 else "" for n in range(44)}

    def test_shares_of_each_stratum(self):
        splits = split(self.STRATA, 0.1, 0.2, 0)
        common = Counter(splits[name] for name in self.STRATA if not self.STRATA[name])
        assert common == {"train": 28, "val": 4, "test": 8}
        rare = Counter(splits[name] for name in self.STRATA if self.STRATA[name])
        assert rare == {"train": 2, "val": 1, "test": 1}

    def test_names_and_seed_decide(self):
        backwards = dict(reversed(self.STRATA.items()))
        assert split(backwards, 0.1, 0.2, 0) == split(self.STRATA, 0.1, 0.2, 0)
        assert split(self.STRATA, 0.1, 0.2, 1) != split(self.STRATA, 0.1, 0.2, 0)

    def test_without_a_share_there_is_no_such_split(self):
        assert set(split(self.STRATA, 0, 0, 0).values()) == {"train"}
        assert set(split(self.STRATA, 0, 0.5, 0).values()) == {"train", "test"}

    @pytest.mark.parametrize("size", [1, 2, 3])
    @pytest.mark.parametrize("shares", [(0.15, 0.2), (0.45, 0.45), (0.0, 0.9), (0.9, 0.0)])
    def test_one_at_least_is_trained_on(self, size, shares):
        splits = split({str(n): "" for n in range(size)}, *shares, 0)
        assert len(splits) == size
        assert "train" in splits.values()

    @pytest.mark.parametrize("shares", [(-0.1, 0.2), (0.6, 0.4)])
    def test_shares_have_limits(self, shares):
        with pytest.raises(OptionError, match=r"must be 0 or more and leave something to train on"):
            split(self.STRATA, *shares, 0)
