"""TOPCON-MM: eyes, many-to-many pairs, labels of two tables, and every answer to a wrong file."""

import csv
from pathlib import Path

import pytest

from sm3kit.api import DataError
from sm3kit.testing import check_dataset
from sm3kit_eye.topcon_mm import TopconMM


def write(folder, fundus, oct, images=True):
    """Both tables, `{image: [labels]}` below a heading, and an empty file for each image."""
    for name, rows in (("fundus", fundus), ("oct", oct)):
        (folder / f"{name}_images").mkdir(exist_ok=True)
        with (folder / f"{name}_labels.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([image, *labels] for image, labels in rows.items())
        for image in list(rows)[1:] if images else ():
            (folder / f"{name}_images" / f"{image}.jpg").touch()
    return TopconMM(str(folder))


def one(dataset, name):
    return next(study for study in dataset.studies() if study.id == name)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return TopconMM.example(tmp_path_factory.mktemp("topcon"))


@pytest.fixture
def small(tmp_path):
    heading = {"image": ["normal", "DR", "CNV"]}
    fundus = {"1-L-1": [0, 1, 0], "1-L-2": [0, 0, 0], "1-R-1": [1, 0, 0], "2-L-1": ["", "", ""]}
    oct = {"1-L-10": [0, 0, 1], "1-L-9": [0, 0, 0], "1-R-1": [0, 0, 1], "3-L-1": [1, 0, ""]}
    return write(tmp_path, heading | fundus, heading | oct)


@pytest.mark.parametrize("options", [{}, {"labels_of": "oct"}, {"test": 0.0}])
def test_laws_hold_on_the_example(example, options):
    check_dataset(TopconMM, example, **options)


def test_eyes_are_studies_with_all_their_images(small):
    assert [study.id for study in small.studies()] == ["1-L", "1-R", "2-L", "3-L"]
    names = {
        name: [Path(path).name for path in paths]
        for name, paths in one(small, "1-L").images.items()
    }
    assert names == {"fundus": ["1-L-1.jpg", "1-L-2.jpg"], "oct": ["1-L-9.jpg", "1-L-10.jpg"]}


def test_an_eye_may_lack_a_modality(small):
    assert set(one(small, "2-L").images) == {"fundus"}
    assert set(one(small, "3-L").images) == {"oct"}
    assert "2 of 4 eyes have images of both modalities." in small.notes


class TestLabels:
    def test_they_have_the_names_of_the_heading(self, small):
        assert [label.name for label in small.labels] == ["normal", "DR", "CNV"]
        assert {label.classes for label in small.labels} == {("absent", "present")}
        assert {label.reported for label in small.labels} == {"present"}

    def test_a_finding_of_any_image_counts(self, small):
        assert one(small, "1-L").labels == {"normal": 0, "DR": 1, "CNV": 1}

    def test_an_eye_is_normal_only_if_all_images_are(self, small):
        assert one(small, "1-R").labels == {"normal": 0, "DR": 0, "CNV": 1}

    def test_unknown_is_not_absent(self, small):
        assert one(small, "2-L").labels == {}
        assert one(small, "3-L").labels == {"normal": 1, "DR": 0}
        assert "Eyes without any label: 1." in small.notes

    def test_those_of_one_table(self, small):
        fundus = TopconMM(small.argument, labels_of="fundus")
        assert one(fundus, "1-L").labels == {"normal": 0, "DR": 1, "CNV": 0}
        assert one(fundus, "1-R").labels == {"normal": 1, "DR": 0, "CNV": 0}
        assert one(fundus, "3-L").labels == {}

    def test_which_column_says_normal_is_an_option(self, small):
        dataset = TopconMM(small.argument, normal=("cnv",))
        assert one(dataset, "1-L").labels == {"normal": 0, "DR": 1, "CNV": 0}

    def test_tables_need_not_have_the_same_columns(self, small):
        folder = Path(small.argument)
        (folder / "oct_labels.csv").write_text("age,scan,PED\n61,1-L-9.jpg,1.0\n44,3-L-1.jpg,-1\n")
        dataset = TopconMM(small.argument)
        assert [label.name for label in dataset.labels] == ["normal", "DR", "CNV", "PED"]
        assert one(dataset, "1-L").labels == {"normal": 0, "DR": 1, "CNV": 0, "PED": 1}
        assert one(dataset, "3-L").labels == {}
        assert "oct_labels.csv: not used as labels: age." in dataset.notes


def test_groups_are_patients_and_stay_together(example):
    dataset = TopconMM(example)
    splits = {}
    for study in dataset.studies():
        assert study.group == study.id.split("-")[0]
        splits.setdefault(study.group, set()).add(study.split)
    assert all(len(of_patient) == 1 for of_patient in splits.values())
    assert len(splits) == 16
    assert {split for of_patient in splits.values() for split in of_patient} == {
        *("train", "val", "test")
    }


def test_every_finding_is_in_every_split(example):
    for split in ("train", "val", "test"):
        studies = TopconMM(example).studies(split)
        for label in ("exudation", "fluid"):
            assert any(study.labels[label] for study in studies), (split, label)


class TestMistakes:
    GOOD = {"image": ["DR"], "1-L-1": [0], "2-L-1": [1]}

    def test_labels_of_an_eye_without_images_are_noted(self, tmp_path):
        write(tmp_path, self.GOOD, self.GOOD)
        (tmp_path / "fundus_images" / "2-L-1.jpg").unlink()
        (tmp_path / "oct_images" / "2-L-1.jpg").unlink()
        dataset = TopconMM(str(tmp_path))
        assert [study.id for study in dataset.studies()] == ["1-L"]
        assert (
            "1 of 2 eyes of oct_labels.csv has no match among the eyes with images: '2-L'."
        ) in dataset.notes

    def test_an_image_of_another_name(self, tmp_path):
        write(tmp_path, self.GOOD, self.GOOD)
        (tmp_path / "oct_images" / "scan7.jpg").touch()
        with pytest.raises(DataError, match=r"The name of the image .*scan7\.jpg does not follow"):
            TopconMM(str(tmp_path))

    def test_a_row_of_another_name(self, tmp_path):
        with pytest.raises(DataError) as error:
            write(tmp_path, self.GOOD, {**self.GOOD, "scan7": [1]}, images=False)
        assert str(error.value).endswith(
            "oct_labels.csv, row 4, column 'image': 'scan7' is not a name of the form [patient]-[eye]-[scan]. "
            "Correct it, or remove the row."
        )

    def test_a_missing_table(self, tmp_path):
        write(tmp_path, self.GOOD, self.GOOD)
        (tmp_path / "oct_labels.csv").unlink()
        with pytest.raises(
            DataError, match=r"There is no CSV file .*oct_labels\.csv\. It should hold"
        ):
            TopconMM(str(tmp_path))
        assert TopconMM(str(tmp_path), labels_of="fundus").studies()

    def test_a_missing_folder(self, tmp_path):
        with pytest.raises(DataError, match=r"There is no folder .*fundus_images"):
            TopconMM(str(tmp_path))

    @pytest.mark.parametrize(
        "rows",
        [{"who": ["DR"], "1": [0], "2": [1]}, {"image": ["age"], "1-L-1": [61], "2-L-1": [44]}],
    )
    def test_a_table_without_ids_or_labels(self, tmp_path, rows):
        with pytest.raises(DataError) as error:
            write(tmp_path, rows, self.GOOD, images=False)
        assert (
            "fundus_labels.csv needs a column of names [patient]-[eye]-[scan] and columns of 0 and "
            "1. Its columns: "
        ) in str(error.value)

    def test_rows_that_contradict_each_other(self, tmp_path):
        write(tmp_path, self.GOOD, self.GOOD)
        table = tmp_path / "oct_labels.csv"
        table.write_text("image,DR\n1-L-1,0\n2-L-1,1\n1-L-1,0\n")
        assert TopconMM(str(tmp_path)).notes[-1] == (
            "1 row repeats another and counts once: row 4 of oct_labels.csv (as row 2)."
        )
        table.write_text("image,DR\n1-L-1,0\n2-L-1,1\n,\n1-L-1,1\n")
        with pytest.raises(DataError, match=r"row 5, .*'1-L-1' is also in row 2, with other val"):
            TopconMM(str(tmp_path))

    def test_a_value_that_is_no_flag(self, tmp_path):
        rows = {**self.GOOD, "3-L-1": [1], "4-L-1": [2]}
        with pytest.raises(DataError, match=r"row 5, column 'DR': '2' is not 0, 1 or blank\."):
            write(tmp_path, rows, self.GOOD, images=False)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", r"is empty\. It should hold the labels"),
            (b"image,DR\n", "has headings but no rows"),
            (b"image,DR,DR\n1-L-1,0,1\n", "has the column 'DR' twice"),
            (b"image,DR\n1-L-1,0,1\n", "row 2 has 3 cells, but there are 2 headings"),
            (b"image,DR\n\xff\xfe,0\n", "row 2 is not UTF-8 text"),
        ],
    )
    def test_a_file_that_is_no_table(self, tmp_path, content, said):
        write(tmp_path, self.GOOD, self.GOOD)
        (tmp_path / "oct_labels.csv").write_bytes(content)
        with pytest.raises(DataError, match=said):
            TopconMM(str(tmp_path))
