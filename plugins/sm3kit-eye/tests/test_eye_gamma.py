"""GAMMA: slices in the order of their numbers, grades from a spreadsheet, wrong files answered."""

from pathlib import Path

import openpyxl
import pytest

from sm3kit.api import DataError
from sm3kit.testing import check_dataset
from sm3kit_eye.gamma import IMAGES, TABLE, Gamma, spaced

HEADING = ["data", "non", "early", "mid_advanced"]


def write(folder, rows, slices=12, heading=HEADING):
    """A tree of empty files with a spreadsheet; a case for each row, numbered from 1."""
    book = openpyxl.Workbook()
    for row in (heading, *rows):
        book.active.append(row)
    for number in range(1, len(rows) + 1):
        case = folder / "training" / IMAGES / f"{number:04d}"
        (case / case.name).mkdir(parents=True)
        (case / f"{case.name}.jpg").touch()
        for place in range(slices):
            (case / case.name / f"{place}_image.jpg").touch()
    book.save(folder / "training" / TABLE)
    return str(folder)


@pytest.fixture
def small(tmp_path):
    return write(tmp_path, [[1, 1, 0, 0], [2, 0, 1, 0], [3, 0, 0, 1], [4, None, None, None]])


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return Gamma.example(tmp_path_factory.mktemp("gamma"))


@pytest.mark.parametrize("options", [{}, {"ordinal": True}, {"oct_slices": 0}, {"oct_slices": 1}])
def test_laws_hold_on_the_example(example, options):
    check_dataset(Gamma, example, **options)


class TestSlices:
    def test_numbers_order_them(self, small):
        names = [Path(path).name for path in Gamma(small, oct_slices=0).studies()[0].images["oct"]]
        assert names == [f"{place}_image.jpg" for place in range(12)]

    @pytest.mark.parametrize("name", ["oct_{}.jpg", "0001_slice{}.jpg"])
    def test_wherever_the_number_stands(self, small, name):
        folder = Path(small, "training", IMAGES, "0001", "0001")
        for path in folder.iterdir():
            path.rename(folder / name.format(path.name.partition("_")[0]))
        names = [Path(path).name for path in Gamma(small, oct_slices=0).studies()[0].images["oct"]]
        assert names == [name.format(place) for place in range(12)]

    @pytest.mark.parametrize("total", [1, 2, 5, 12, 255, 256])
    @pytest.mark.parametrize("count", [0, 1, 2, 3, 15, 16, 255, 256, 300])
    def test_the_middle_one_stays_in_the_middle(self, total, count):
        every = [str(place) for place in range(total)]
        some = spaced(every, count)
        assert len(some) == (min(count, total) or total)
        assert some[len(some) // 2] == every[total // 2]
        steps = {int(b) - int(a) for a, b in zip(some, some[1:], strict=False)}
        assert len(steps) <= 1

    def test_fifteen_of_256(self):
        some = [int(place) for place in spaced([str(place) for place in range(256)], 15)]
        assert (some[0], some[1], some[7], some[-1]) == (9, 26, 128, 247)


class TestGrades:
    def test_one_label_of_three_classes(self, small):
        dataset = Gamma(small)
        assert [label.name for label in dataset.labels] == ["grade"]
        assert dataset.labels[0].classes == ("non", "early", "mid_advanced")
        assert [study.labels for study in dataset.studies()] == [
            *({"grade": 0}, {"grade": 1}, {"grade": 2}),
            {},
        ]
        assert f"Rows of {TABLE} without a 1, whose grade is unknown: 1." in dataset.notes

    def test_steps_if_asked_for(self, small):
        dataset = Gamma(small, ordinal=True)
        names = [label.name for label in dataset.labels]
        assert names == ["grade", "at_least_early", "at_least_mid_advanced"]
        steps = [tuple(study.labels.get(name) for name in names) for study in dataset.studies()]
        assert steps == [(0, 0, 0), (1, 1, 0), (2, 1, 1), (None, None, None)]

    def test_every_grade_is_in_every_split(self, example):
        for split in ("train", "val", "test"):
            grades = {study.labels["grade"] for study in Gamma(example).studies(split)}
            assert grades == {0, 1, 2}

    @pytest.mark.parametrize("case", [1, "0001", "1.0", "1"])
    def test_ids_with_and_without_zeros(self, tmp_path, case):
        dataset = Gamma(write(tmp_path, [[case, 0, 1, 0]]))
        assert [(study.id, study.labels) for study in dataset.studies()] == [("0001", {"grade": 1})]

    def test_blank_columns_at_the_end_do_not_matter(self, tmp_path):
        rows = [[1, 0, 1, 0, None, None], [None] * 6, [2, 1, 0, 0, " ", None]]
        folder = write(tmp_path, rows, heading=[*HEADING, None, None])
        grades = [study.labels.get("grade") for study in Gamma(folder).studies()]
        assert grades == [1, 0, None]


class TestLayouts:
    def test_the_folder_may_be_above_or_below(self, small):
        assert len(Gamma(f"{small}/training").studies()) == 4
        above = Path(small, "above")
        above.mkdir()
        Path(small, "training").rename(above / "training")
        above.rename(Path(small, "Glaucoma_grading"))
        assert len(Gamma(small).studies()) == 4

    def test_missing_modalities(self, small):
        images = Path(small, "training", IMAGES)
        (images / "0001" / "0001.jpg").unlink()
        for path in (images / "0002" / "0002").iterdir():
            path.unlink()
        (images / "0002" / "0002").rmdir()
        first, second, *_ = Gamma(small).studies()
        assert set(first.images) == {"oct"}
        assert set(second.images) == {"fundus"}

    def test_a_case_without_images_is_noted(self, small):
        images = Path(small, "training", IMAGES)
        (images / "0003").rename(Path(small, "away"))
        dataset = Gamma(small)
        assert [study.id for study in dataset.studies()] == ["0001", "0002", "0004"]
        assert f"1 of 4 rows of {TABLE} has no match among the folders: '3'." in dataset.notes


class TestMistakes:
    def test_another_folder(self, tmp_path):
        with pytest.raises(
            DataError, match=r"does not have the layout of GAMMA\. gamma:DIR needs training/"
        ):
            Gamma(str(tmp_path))

    def test_no_spreadsheet(self, small):
        Path(small, "training", TABLE).unlink()
        with pytest.raises(DataError, match=r"There is no spreadsheet .*training_GT\.xlsx\."):
            Gamma(small)

    @pytest.mark.parametrize("content", [b"", b"data,non,early,mid_advanced\n", b"PK\x03\x04 rest"])
    def test_no_spreadsheet_inside(self, small, content):
        Path(small, "training", TABLE).write_bytes(content)
        with pytest.raises(
            DataError, match=r"training_GT\.xlsx cannot be read: .* Copy it again\."
        ):
            Gamma(small)

    def test_a_column_is_missing(self, tmp_path):
        folder = write(tmp_path, [[1, 1, 0]], heading=["data", "non", "early"])
        with pytest.raises(DataError) as error:
            Gamma(folder)
        assert str(error.value).endswith(
            "has no column 'mid_advanced'. Its columns: data, non, early."
        )

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ([[1, 1, 1, 0]], r"row 2 has a 1 in several columns, non and early\. Keep one\."),
            ([[1, 1, 0, 0], ["1.0", 0, 1, 0]], r"row 3, .*: '1\.0' is also in row 2, with other"),
        ],
    )
    def test_several_grades(self, tmp_path, rows, said):
        with pytest.raises(DataError, match=said):
            Gamma(write(tmp_path, rows))

    def test_a_grade_that_is_no_flag(self, tmp_path):
        with pytest.raises(DataError, match=r"row 2, column 'non': 'yes' is not 0, 1 or blank\."):
            Gamma(write(tmp_path, [[1, "yes", 0, 0]]))
