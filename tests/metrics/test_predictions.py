"""Predictions on disk and the mistakes that they refuse."""

from dataclasses import replace

import numpy as np
import pytest

from sm3kit.core.errors import DataError
from sm3kit.metrics.predictions import LabelScores, Predictions


def label(**changes):
    scores = np.array([[0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    return replace(LabelScores(("ABS", "PRS"), "PRS", scores, np.array([1, 0, -1])), **changes)


def predictions(ids=("a", "b", "c"), groups=("p", "p", "q"), **changes):
    return Predictions({"BWV": label(**changes)}, np.array(ids), np.array(groups))


def equal(one, other):
    assert one.ids.tolist() == other.ids.tolist()
    assert one.groups.tolist() == other.groups.tolist()
    assert list(one.labels) == list(other.labels)
    for name, ours in one.labels.items():
        theirs = other.labels[name]
        assert (ours.classes, ours.reported) == (theirs.classes, theirs.reported)
        assert ours.scores.dtype == theirs.scores.dtype == np.float64
        assert np.array_equal(ours.scores, theirs.scores)
        assert np.array_equal(ours.truth, theirs.truth)


# On disk


def test_what_is_saved_comes_back(random_predictions, tmp_path):
    before = random_predictions(groups=np.arange(60) // 2)
    before.save(tmp_path / "new" / "test.npz")
    equal(Predictions.load(tmp_path / "new" / "test.npz"), before)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["test.npz"]


def test_any_name_can_be_saved(tmp_path):
    names = ("../x/é \"'", "面")
    before = Predictions(
        {"a/b: ü": label(classes=names, reported="面")}, np.array(["é/1", "", "-"]), np.arange(3)
    )
    before.save(tmp_path / "test.npz")
    equal(Predictions.load(tmp_path / "test.npz"), before)


def test_no_file(tmp_path):
    with pytest.raises(DataError) as caught:
        Predictions.load(tmp_path / "none.npz")
    assert str(caught.value) == (
        f"There are no predictions at {tmp_path / 'none.npz'}. Evaluate the run again."
    )


def test_another_format_is_named(tmp_path):
    np.savez(tmp_path / "new.npz", about=np.array('{"format": 2}'))
    with pytest.raises(DataError) as caught:
        Predictions.load(tmp_path / "new.npz")
    assert str(caught.value) == (
        f"{tmp_path / 'new.npz'} is damaged, or is not a file of predictions: format 2 instead of 1. "
        "Evaluate the run again."
    )


def test_a_file_with_pickles_is_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", about=np.array([{"format": 1}], dtype=object))
    with pytest.raises(DataError, match="is damaged, or is not a file of predictions"):
        Predictions.load(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    "text", ["[]", "3", "{}", "not json", '{"format": 1, "labels": [{"name": "x"}]}']
)
def test_strange_names_are_refused(tmp_path, text):
    np.savez(tmp_path / "bad.npz", about=np.array(text))
    with pytest.raises(DataError, match="is damaged, or is not a file of predictions"):
        Predictions.load(tmp_path / "bad.npz")


def test_a_damaged_file_is_refused_wherever_the_damage(tmp_path):
    path = tmp_path / "test.npz"
    before = predictions()
    before.save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        place = int(rng.integers(len(whole)))
        flipped = bytes([whole[place] ^ int(rng.integers(1, 256))])
        for content in (whole[:place], whole[:place] + flipped + whole[place + 1 :]):
            path.write_bytes(content)
            try:
                after = Predictions.load(path)
            except DataError as error:
                assert str(error).startswith(
                    f"{path} is damaged, or is not a file of predictions: "
                )
            else:
                equal(after, before)  # A byte that means nothing, such as a date.


# Mistakes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"ids": ("a", "b", "a")},
            "The id 'a' occurs 2 times. Give each case its own id.",
        ),
        ({"groups": ("p", "q")}, "3 cases need as many groups, not 2."),
        (
            {"truth": np.array([1, 0])},
            "Label 'BWV' needs scores (3, 2) and truth (3,), not (3, 2) and (2,).",
        ),
        (
            {"classes": ("ABS", "REG", "PRS")},
            "Label 'BWV' needs scores (3, 3) and truth (3,), not (3, 2) and (3,).",
        ),
        (
            {"classes": ("PRS", "PRS")},
            "Label 'BWV' names a class twice: PRS, PRS. Rename one.",
        ),
        (
            {"reported": "PSR"},
            "Label 'BWV' has no class 'PSR' to report. Did you mean 'PRS'? Its classes: ABS, PRS.",
        ),
        (
            {"scores": np.array([[0.2, 0.8], [np.nan, 0.4], [np.inf, 0]])},
            "The scores of label 'BWV' are not finite for 2 of 3 cases, first 'b'. "
            "The training has diverged: lower its learning rate.",
        ),
        (
            {"truth": np.array([0, 2, -1])},
            "The truth of label 'BWV' must be from 0 to 1, or -1 if unknown, not 2 (case 'b'). "
            "Check its table.",
        ),
        (
            {"truth": np.array([0, 1, -2])},
            "The truth of label 'BWV' must be from 0 to 1, or -1 if unknown, not -2 (case 'c'). "
            "Check its table.",
        ),
    ],
)
def test_parts_that_do_not_fit_together(changes, said):
    with pytest.raises(DataError) as caught:
        predictions(**changes)
    assert str(caught.value) == said


def test_nothing_to_measure():
    said = (
        "Predictions need at least one case and one label, not {} cases and {} labels. "
        "Choose a split that has studies with labels."
    )
    with pytest.raises(DataError) as caught:
        Predictions({}, np.array(["a"]), np.array(["a"]))
    assert str(caught.value) == said.format(1, 0)
    with pytest.raises(DataError) as caught:
        Predictions({"BWV": label()}, np.array([]), np.array([]))
    assert str(caught.value) == said.format(0, 1)


def test_some_cases_in_another_order():
    some = predictions().take(np.array([2, 0]))
    assert (some.ids.tolist(), some.groups.tolist()) == (["c", "a"], ["q", "p"])
    assert some.labels["BWV"].truth.tolist() == [-1, 1]
    assert some.labels["BWV"].scores.tolist() == [[0.5, 0.5], [0.2, 0.8]]
