"""Two grids row by row."""

import pytest
from fabricated import grid, labelled, matched

from sm3kit.results.differences import diff, difference_section
from sm3kit.results.measurement import RowResults


def test_the_same_rows_are_paired(tmp_path):
    one = grid(tmp_path, [labelled(tmp_path / "one", "simclr", [12, 12, 18])])
    other = grid(tmp_path, [labelled(tmp_path, "simclr", [24, 24, 18])])
    (row,) = diff(one, other, 50)
    assert (row.first.mean, row.second.mean) == (pytest.approx(1400 / 24), pytest.approx(2200 / 24))
    assert row.more.mean == pytest.approx(800 / 24)
    assert row.more.low <= row.more.mean <= row.more.high
    assert row.note == ""
    assert difference_section([row]).texts()[1][:4] == [
        "simclr",
        "probe",
        "58.3 ± 14.4",
        "91.7 ± 14.4",
    ]
    assert difference_section([row]).texts()[1][4].startswith("+33.3 (")


def test_other_cases_are_not_paired(tmp_path):
    one = grid(tmp_path, [labelled(tmp_path / "one", "simclr", [12])])
    other = grid(tmp_path, [labelled(tmp_path, "simclr", [24], cases=30)], split="val")
    (row,) = diff(one, other, 50)
    assert row.more.mean == pytest.approx(50)
    assert row.more.low is None
    assert row.note.startswith("split test and val; not paired: A comparison needs two runs on")


def test_rows_of_one_grid_alone_are_told(tmp_path):
    one = grid(tmp_path, [labelled(tmp_path, "a", [24]), RowResults("b", failed={0: "no"})])
    other = grid(tmp_path, [RowResults("b"), labelled(tmp_path, "c", [18])])
    rows = diff(one, other, 10)
    assert [(row.name, row.note) for row in rows] == [
        ("a", "not in the second"),
        ("b", "failed in the first; no result yet in the second"),
        ("c", "not in the first"),
    ]
    assert [row.more for row in rows] == [None] * 3
    assert difference_section(rows).texts()[3] == [
        "c",
        "probe",
        "–",
        "75.0",
        "–",
        "not in the first",
    ]


def test_other_seeds_are_told(tmp_path):
    one = grid(tmp_path, [labelled(tmp_path / "one", "a", [24, 18])])
    other = grid(tmp_path, [labelled(tmp_path, "a", [24])])
    assert diff(one, other, 10)[0].note == "seeds 0, 1 and 0"


def test_matching_has_no_auc(tmp_path):
    one = grid(tmp_path, [matched("a", [2.0])], protocols=("match",))
    assert diff(one, one) == []
