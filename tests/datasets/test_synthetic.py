from pathlib import Path

import pytest

from sm3kit.core.errors import DataError, OptionError
from sm3kit.datasets import synthetic
from sm3kit.datasets.synthetic import Synthetic


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SM3KIT_CACHE", str(tmp_path))
    return tmp_path


def test_studies_have_both_pictures_and_all_labels():
    data = Synthetic(pairs=20, size=32)
    studies = data.studies()
    assert len({study.id for study in studies}) == 20
    for study in studies:
        assert list(study.images) == list(data.modalities) == ["derm", "clinic"]
        assert all(Path(path).is_file() for path in study.images.values())
        for label in data.labels:
            assert 0 <= study.labels[label.name] < len(label.classes)
    assert [label.reported in label.classes for label in data.labels] == [True] * 8


def test_the_splits_make_up_the_whole():
    data = Synthetic(pairs=30, size=32)
    parts = [study for split in ("train", "val", "test") for study in data.studies(split)]
    assert sorted(parts, key=lambda study: study.id) == data.studies()


def test_the_argument_is_the_number_of_pairs():
    assert len(Synthetic("7", size=32).studies()) == 7


@pytest.mark.parametrize("argument", ["many", "-3", "1.5"])
def test_another_argument_is_refused(argument):
    with pytest.raises(DataError) as error:
        Synthetic(argument)
    assert str(error.value) == (
        f"The data set 'synthetic' needs a number of pairs, not {argument!r}. "
        "Write for example synthetic:1000."
    )


def test_nothing_is_rendered_before_it_is_asked_for(cache):
    Synthetic(pairs=5, size=32)
    assert list(cache.iterdir()) == []


def test_pictures_are_rendered_once(monkeypatch):
    first = Synthetic(pairs=5, size=32).studies()
    monkeypatch.setattr(synthetic, "write", None)
    assert Synthetic(pairs=5, size=32).studies() == first


def test_other_options_give_other_pictures(cache):
    for options in ({"pairs": 4}, {"size": 40}, {"seed": 1}, {"missing": 0.5}):
        Synthetic(**{"pairs": 5, "size": 32, **options}).studies()
    assert len(list((cache / "synthetic").iterdir())) == 4


def test_a_lesion_keeps_its_split_and_labels():
    few, more = Synthetic(pairs=6, size=32).studies(), Synthetic(pairs=9, size=32).studies()
    assert [(s.split, s.labels) for s in few] == [(s.split, s.labels) for s in more[:6]]


def test_missing_pictures_are_not_listed():
    studies = Synthetic(pairs=30, size=32, missing=0.5).studies()
    assert 5 < sum("clinic" not in study.images for study in studies) < 25
    assert all("derm" in study.images for study in studies)


def test_the_pictures_of_another_process_are_taken(monkeypatch):
    data = Synthetic(pairs=5, size=32)
    real = synthetic.write

    def slower(*args):
        real(*args)
        real(*args)

    monkeypatch.setattr(synthetic, "write", slower)
    assert len(data.studies()) == 5


def test_a_number_out_of_range_is_refused():
    with pytest.raises(OptionError, match="'size' must be a whole number from 32 to 8192, not 8"):
        Synthetic(size=8).studies()
