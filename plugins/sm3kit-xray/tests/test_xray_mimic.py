"""MIMIC-CXR-JPG: compressed tables, positions, labelers, the official split, and wrong folders."""

import csv
import gzip

import pytest

from sm3kit.api import DataError
from sm3kit.testing import check_dataset
from sm3kit_xray.findings import FINDINGS
from sm3kit_xray.mimic_cxr import MimicCXR

IDS = ["subject_id", "study_id"]


def write(folder, images, labels, splits=None, compressed=True):
    """Tables of `images` [(dicom, subject, study, position)] and `labels` {(subject, study): {}}."""
    for _, subject, study, _ in images:
        (folder / f"files/p{subject[:2]}/p{subject}/s{study}").mkdir(parents=True, exist_ok=True)
    splits = splits or [(dicom, study, subject, "train") for dicom, subject, study, _ in images]
    cells = [[*ids, *(said.get(name, "") for name in FINDINGS)] for ids, said in labels.items()]
    tables = {
        "metadata": [["dicom_id", *IDS, "ViewPosition", "Rows"], *([*one, 2544] for one in images)],
        "split": [["dicom_id", "study_id", "subject_id", "split"], *splits],
        "chexpert": [[*IDS, *FINDINGS], *cells],
        "negbio": [[*IDS, *FINDINGS], *([*row[:2], *(["0.0"] * 14)] for row in cells)],
    }
    for what, rows in tables.items():
        opened, end = (gzip.open, ".gz") if compressed else (open, "")
        path = folder / f"mimic-cxr-2.0.0-{what}.csv{end}"
        with opened(path, "wt", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    return folder


IMAGES = [
    ("aa-1", "10000032", "50414267", "PA"),
    ("aa-2", "10000032", "50414267", "LATERAL"),
    ("bb-1", "10000032", "53189527", "AP"),
    ("bb-2", "10000032", "53189527", "PA"),
    ("bb-3", "10000032", "53189527", "LL"),
    ("cc-1", "11000764", "57375967", "SWIMMERS"),
    ("cc-2", "11000764", "57375967", "AP"),
    ("cc-3", "11000764", "57375967", ""),
]
LABELS = {
    ("10000032", "50414267"): {"Edema": "1.0", "Pneumonia": "-1.0"},
    ("10000032", "53189527"): {"No Finding": "1.0"},
}


@pytest.fixture
def small(tmp_path):
    splits = [
        (dicom, study, subject, "validate" if subject == "11000764" else "train")
        for dicom, subject, study, _ in IMAGES
    ]
    return write(tmp_path, IMAGES, LABELS, splits)


def of(dataset, name):
    return next(study for study in dataset.studies() if study.id == name)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return MimicCXR.example(tmp_path_factory.mktemp("mimic"))


@pytest.mark.parametrize("options", [{}, {"frontal": "apart"}, {"labeler": "negbio"}])
def test_laws_hold_on_the_example(example, options):
    check_dataset(MimicCXR, example, **options)


def test_images_by_position(small):
    dataset = MimicCXR(str(small))
    folder = small / "files/p10/p10000032"
    assert of(dataset, "p10000032/s53189527").images == {
        "frontal": tuple(str(folder / f"s53189527/bb-{n}.jpg") for n in (1, 2)),
        "lateral": str(folder / "s53189527/bb-3.jpg"),
    }
    assert set(of(dataset, "p11000764/s57375967").images) == {"frontal"}
    assert "Images of other positions, left out: 2 (1 x SWIMMERS, 1 x blank)." in dataset.notes
    assert "2 of 3 studies have a lateral image." in dataset.notes


def test_pa_and_ap_apart(small):
    dataset = MimicCXR(str(small), frontal="apart")
    assert set(of(dataset, "p10000032/s53189527").images) == {"pa", "ap", "lateral"}
    assert set(of(dataset, "p10000032/s50414267").images) == {"pa", "lateral"}


def test_labels_splits_and_groups(small):
    dataset = MimicCXR(str(small))
    first, last = of(dataset, "p10000032/s50414267"), of(dataset, "p11000764/s57375967")
    assert (first.labels["Edema"], first.labels["Fracture"]) == (1, 0)
    assert "Pneumonia" not in first.labels
    assert (first.group, first.split, last.split) == ("p10000032", "train", "val")


def test_a_study_without_a_row_of_labels_has_none(small):
    dataset = MimicCXR(str(small))
    assert of(dataset, "p11000764/s57375967").labels == {}
    assert any("1 of 3 studies with images has no match" in note for note in dataset.notes)


def test_the_labeler_is_a_choice(small):
    dataset = MimicCXR(str(small), labeler="negbio")
    assert set(of(dataset, "p10000032/s50414267").labels.values()) == {0}
    assert dataset.label_files == [small / "mimic-cxr-2.0.0-negbio.csv.gz"]


def test_labels_of_radiologists_are_named(small):
    name = "mimic-cxr-2.1.0-test-set-labeled.csv"
    assert not any(name in note for note in MimicCXR(str(small)).notes)
    (small / name).write_text("study_id,Airspace Opacity\n57375967,1\n", encoding="utf-8")
    said = f"{name} is not read: the test split, too, has the labels of chexpert."
    assert said in MimicCXR(str(small)).notes


def test_tables_may_be_decompressed(tmp_path):
    dataset = MimicCXR(str(write(tmp_path, IMAGES, LABELS, compressed=False)))
    assert len(dataset.studies()) == 3


def test_a_part_of_the_archive_will_do(small):
    for path in sorted((small / "files/p11").rglob("*"), reverse=True):
        path.rmdir()
    dataset = MimicCXR(str(small))
    assert {study.group for study in dataset.studies()} == {"p10000032"}
    assert any("1 of 2 patients of the metadata has no match" in note for note in dataset.notes)


class TestMistakes:
    def said(self, folder):
        with pytest.raises(DataError) as error:
            MimicCXR(str(folder))
        return str(error.value)

    @pytest.mark.parametrize("what", ["metadata", "split", "chexpert"])
    def test_a_missing_table(self, small, what):
        (small / f"mimic-cxr-2.0.0-{what}.csv.gz").unlink()
        assert f"has no mimic-cxr-2.0.0-{what}.csv.gz. Give the folder" in self.said(small)

    def test_half_a_table(self, small):
        path = small / "mimic-cxr-2.0.0-split.csv.gz"
        path.write_bytes(path.read_bytes()[:-20])
        assert f"{path} cannot be decompressed" in self.said(small)

    @pytest.mark.parametrize("subject", ["", "p10000032", "../x"])
    def test_an_id_that_is_no_number(self, tmp_path, subject):
        write(tmp_path, [("aa", "10000032", "1", "PA")], LABELS)
        images = [("aa", "10000032", "1", "PA"), ("bb", subject, "2", "PA")]
        (tmp_path / "mimic-cxr-2.0.0-metadata.csv").unlink(missing_ok=True)
        rows = [["dicom_id", *IDS, "ViewPosition"], *images]
        with gzip.open(tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz", "wt", newline="") as file:
            csv.writer(file).writerows(rows)
        assert f"row 3, column 'subject_id': {subject!r} is not an id" in self.said(tmp_path)

    def test_a_split_of_another_name(self, tmp_path):
        write(tmp_path, IMAGES[:1], LABELS, [("aa-1", "50414267", "10000032", "trian")])
        assert "unknown value 'trian'. Did you mean 'train'?" in self.said(tmp_path)

    def test_a_study_in_two_splits(self, tmp_path):
        splits = [
            (one, "50414267", "10000032", split) for one, split in (("a", "train"), ("b", "test"))
        ]
        write(tmp_path, IMAGES[:1], LABELS, splits)
        assert "study 50414267 is in the split 'test' here, and in 'train'" in self.said(tmp_path)

    def test_positions_of_another_kind(self, tmp_path):
        write(tmp_path, [("aa", "10000032", "1", "front")], LABELS)
        assert "column 'ViewPosition' has no PA, AP, LATERAL, LL, but FRONT" in self.said(tmp_path)
