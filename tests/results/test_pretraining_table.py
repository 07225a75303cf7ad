"""The ranks after pre-training: a line for each direction, narrow enough for a terminal."""

import math

from sm3kit.results.pretraining_table import rank_lines

MODALITIES = ("photo", "infrared", "ultrasound")
WAYS = [f"{one}->{other}" for one in MODALITIES for other in MODALITIES if one != other]


def test_three_modalities_take_six_lines_below_their_heads():
    ranks = {
        split: {
            space: {way: (10.0 + place, 100 - place) for place, way in enumerate(WAYS)}
            for space in ("backbone", "projection")
        }
        for split in ("train", "val")
    }
    above, heads, *rows = rank_lines(ranks)
    assert above.split() == ["train"] * 3 + ["val"] * 3
    assert heads.split() == ["direction", *["backbone", "projection", "chance"] * 2]
    assert [row.split()[0] for row in rows] == [way.replace("->", "→") for way in WAYS]
    # Each direction has the chance of its own number of pairs.
    assert rows[3].split()[1:4] == ["13.0", "13.0", "49.0"]
    assert max(map(len, rank_lines(ranks))) <= 80
    assert len({len(row) for row in rows}) == 1


def test_long_names_have_a_table_for_each_split():
    way = "a kind of image with a long name->another kind of image"
    ranks = {split: {"backbone": {way: (1.0, 4)}, "projection": {}} for split in ("train", "val")}
    lines = rank_lines(ranks)
    assert len(lines) == 6
    assert lines[2].endswith("1.0           –     2.5")


def test_what_is_not_finite_or_not_there_is_a_dash():
    assert rank_lines({}) == rank_lines({"train": {"backbone": {}}}) == []
    row = rank_lines({"val": {"backbone": {"a->b": (math.nan, 4)}}})[-1]
    assert row.split() == ["a→b", "–", "2.5"]
