"""CheXpert as it is downloaded: the test set, the batches of full size, and what is not there."""

import csv
import shutil
from collections import Counter

import pytest
from test_xray_chexpert import patients, write

from sm3kit.api import DataError
from sm3kit_xray.chexpert import CheXpert
from sm3kit_xray.findings import FINDINGS

BATCH_1 = "CheXpert-v1.0 batch 1 (validate & csv)"


def add_test_set(folder, stem="test", prefix="", count=3):
    """The table of a part of the test set, which has paths and findings only, and its folders."""
    rows = []
    for number in range(count):
        place = f"{stem}/patient{64741 + number:05d}/study1"
        (folder / place).mkdir(parents=True)
        rows.append([f"{prefix}{place}/view1_frontal.jpg", *("01"[number % 2] for _ in FINDINGS)])
    with (folder / f"{stem}_labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["Path", *FINDINGS], *rows])


def split_counts(dataset):
    """{(first folder of the images, split): studies}."""
    paths = [(study.images["frontal"], study.split) for study in dataset.studies()]
    return Counter((path.split("/")[-4], split) for path, split in paths)


@pytest.fixture
def release(tmp_path):
    tables = {"train": patients("train", 20), "valid": patients("valid", 4, 64541)}
    return write(tmp_path / "CheXpert-v1.0-small", tables)


class TestTestSet:
    def test_its_table_makes_the_test_split(self, release):
        add_test_set(release)
        data = CheXpert(str(release))
        assert split_counts(data) == {
            ("train", "train"): 20,
            ("valid", "val"): 4,
            ("test", "test"): 3,
        }
        assert (
            "Splits: valid.csv is the val split; test_labels.csv is the test split." in data.notes
        )
        names = ["train.csv", "valid.csv", "test_labels.csv"]
        assert [path.name for path in data.label_files] == names

    @pytest.mark.parametrize("prefix", ["", "CheXpert-v1.0/"])
    def test_its_validation_table_stands_in_for_an_absent_one(self, release, prefix):
        (release / "valid.csv").unlink()
        shutil.rmtree(release / "valid")
        add_test_set(release, "val", prefix)
        data = CheXpert(str(release))
        assert split_counts(data)["val", "test"] == 3
        assert any("val_labels.csv is the test split" in note for note in data.notes)

    def test_either_folder_of_validation_images_will_do(self, release):
        (release / "valid").rename(release / "val")
        assert split_counts(CheXpert(str(release)))["val", "test"] == 4

    def test_the_table_of_the_release_counts(self, release):
        add_test_set(release, "val")
        data = CheXpert(str(release))
        assert split_counts(data)["valid", "test"] == 4
        said = f"{release / 'val_labels.csv'} is not read: {release / 'valid.csv'} counts."
        assert said in data.notes

    def test_without_validation_table_val_is_drawn(self, release):
        (release / "valid.csv").unlink()
        shutil.rmtree(release / "valid")
        add_test_set(release)
        wanted = {("train", "train"): 18, ("train", "val"): 2, ("test", "test"): 3}
        assert split_counts(CheXpert(str(release))) == wanted

    def test_images_without_a_table_are_named(self, release):
        add_test_set(release)
        (release / "test_labels.csv").unlink()
        data = CheXpert(str(release))
        assert split_counts(data)["valid", "test"] == 4
        assert (
            f"{release / 'test'} has no table (test.csv or test_labels.csv beside it): its images "
            "are not used." in data.notes
        )

    def test_a_table_in_the_folder_above_is_named(self, release):
        add_test_set(release.parent)
        data = CheXpert(str(release.parent))
        assert not any(split == "test" and place == "test" for place, split in split_counts(data))
        (note,) = [note for note in data.notes if "is not read" in note]
        assert note.startswith(f"{release.parent / 'test_labels.csv'} is not read: it has to be")

    def test_it_does_not_tell_pa_from_ap(self, release):
        add_test_set(release)
        with pytest.raises(DataError) as error:
            CheXpert(str(release), frontal="apart")
        assert f"{release / 'test_labels.csv'} has no column 'AP/PA'." in str(error.value)
        assert str(error.value).endswith(
            "The table does not say which frontal images are PA and which AP: use "
            "-o chexpert.frontal=together, or move the table out of the folder."
        )
        (release / "test_labels.csv").unlink()
        assert set(CheXpert(str(release), frontal="apart").modalities) == {"pa", "ap", "lateral"}


class TestBatches:
    @pytest.fixture
    def batches(self, tmp_path):
        """Six patients of training, three of whom are in each of two batches."""
        tables = {"train": patients("CheXpert-v1.0/train", 6), "valid": patients("valid", 2, 64541)}
        write(tmp_path / BATCH_1, tables)
        for number in range(6):
            place = tmp_path / f"CheXpert-v1.0 batch {2 + number // 3} (train {1 + number // 3})"
            place.mkdir(exist_ok=True)
            name = f"patient{number + 1:05d}"
            (tmp_path / BATCH_1 / "train" / name).rename(place / name)
        (tmp_path / BATCH_1 / "train").rmdir()
        return tmp_path

    @pytest.mark.parametrize("given", ["", BATCH_1])
    def test_training_images_lie_beside_the_tables(self, batches, given):
        data = CheXpert(str(batches / given))
        paths = {study.group: study.images["frontal"] for study in data.studies()}
        assert len(paths) == 8
        for patient, number in (("patient00001", 2), ("patient00006", 3)):
            place = batches / f"CheXpert-v1.0 batch {number} (train {number - 1})"
            assert paths[patient] == str(place / patient / "study1/view1_frontal.jpg")
        assert paths["patient64541"].startswith(str(batches / BATCH_1 / "valid"))
        assert not any("have no match" in note for note in data.notes)

    def test_the_current_folder_has_a_folder_above(self, batches, monkeypatch):
        monkeypatch.chdir(batches / BATCH_1)
        assert len(CheXpert(".").studies()) == 8

    def test_some_batches_will_do(self, batches):
        shutil.rmtree(batches / "CheXpert-v1.0 batch 3 (train 2)")
        data = CheXpert(str(batches))
        assert len(data.studies()) == 5
        assert any("3 of 6 patients of train.csv have no match" in note for note in data.notes)

    def test_patients_who_were_moved_are_found_beside_those_who_were_not(self, batches):
        (batches / "CheXpert-v1.0 batch 3 (train 2)").rename(batches / "train")
        assert len(CheXpert(str(batches)).studies()) == 8


class TestAbsentImages:
    def test_valid_without_images_is_left_out(self, release):
        shutil.rmtree(release / "valid")
        data = CheXpert(str(release))
        assert f"valid.csv is left out: {release} has no images in valid/." in data.notes
        wanted = {("train", "train"): 16, ("train", "val"): 2, ("train", "test"): 2}
        assert split_counts(data) == wanted
        assert [path.name for path in data.label_files] == ["train.csv"]

    def test_without_images_of_the_test_set_valid_is_the_test_split(self, release):
        add_test_set(release)
        shutil.rmtree(release / "test")
        data = CheXpert(str(release), frontal="apart")
        assert {study.split for study in data.studies() if study.group > "patient64"} == {"test"}
        assert any(note.startswith("test_labels.csv is left out") for note in data.notes)

    def test_other_patients_than_those_of_the_table_are_a_mistake(self, release):
        for path in list((release / "valid").iterdir()):
            path.rename(path.with_name(path.name.replace("patient", "Patient")))
        with pytest.raises(DataError, match=r"none of the patients of valid\.csv matches any"):
            CheXpert(str(release))

    def test_training_images_are_needed(self, release):
        shutil.rmtree(release / "train")
        with pytest.raises(DataError, match=r"none of the patients of train\.csv matches any"):
            CheXpert(str(release))
