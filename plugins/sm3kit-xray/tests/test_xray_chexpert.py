"""CheXpert: paths, views, answers, splits, and every reply to a wrong folder."""

import csv
from pathlib import Path

import pytest

from sm3kit.api import DataError, OptionError
from sm3kit.testing import check_dataset
from sm3kit_xray.chexpert import CheXpert
from sm3kit_xray.findings import FINDINGS

HEADING = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS]
FIRST = "train/patient00001/study1"


def write(folder, tables, folders=True):
    """Tables `{"train": [(path, AP/PA, {finding: cell})]}`, and the folders of their patients."""
    for stem, rows in tables.items():
        lines = [HEADING]
        for path, position, cells in rows:
            lines.append(
                [path, "Male", 50, "", position, *(cells.get(name, "") for name in FINDINGS)]
            )
            if folders:
                place = path[path.index(f"{stem}/") :]
                (folder / Path(place).parent).mkdir(parents=True, exist_ok=True)
        with (folder / f"{stem}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)
    return folder


def patients(stem, count, first=1):
    return [
        (f"{stem}/patient{first + n:05d}/study1/view1_frontal.jpg", "AP", {"Edema": "01"[n % 2]})
        for n in range(count)
    ]


@pytest.fixture
def small(tmp_path):
    """A patient with two frontal images and a lateral one, and a second visit without."""
    first = {"Edema": "1.0", "Pneumonia": "-1.0", "Fracture": "0.0"}
    rows = [
        (f"CheXpert-v1.0-small/{FIRST}/view1_frontal.jpg", "PA", first),
        (f"CheXpert-v1.0-small/{FIRST}/view2_lateral.jpg", "", first),
        (f"CheXpert-v1.0-small/{FIRST}/view3_frontal.jpg", "AP", first),
        ("train/patient00001/study2/view1_frontal.jpg", "LL", {"No Finding": "1"}),
    ]
    return write(tmp_path, {"train": rows + patients("train", 9, 2)})


def of(dataset, name):
    return next(study for study in dataset.studies() if study.id == name)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return CheXpert.example(tmp_path_factory.mktemp("chexpert"))


@pytest.mark.parametrize(
    "options",
    [{}, {"frontal": "apart"}, {"uncertain": "ones", "blank": "unknown"}, {"labels": ("Edema",)}],
)
def test_laws_hold_on_the_example(example, options):
    check_dataset(CheXpert, example, **options)


class TestViews:
    def test_paths_begin_with_a_folder_or_not(self, small):
        study = of(CheXpert(str(small)), "patient00001/study1")
        assert study.images == {
            "frontal": (
                str(small / FIRST / "view1_frontal.jpg"),
                str(small / FIRST / "view3_frontal.jpg"),
            ),
            "lateral": str(small / FIRST / "view2_lateral.jpg"),
        }
        assert study.group == "patient00001"
        assert set(of(CheXpert(str(small)), "patient00001/study2").images) == {"frontal"}

    def test_pa_and_ap_apart(self, small):
        dataset = CheXpert(str(small), frontal="apart")
        assert list(dataset.modalities) == ["pa", "ap", "lateral"]
        images = of(dataset, "patient00001/study1").images
        assert {name: Path(path).name for name, path in images.items()} == {
            "pa": "view1_frontal.jpg",
            "ap": "view3_frontal.jpg",
            "lateral": "view2_lateral.jpg",
        }
        assert "patient00001/study2" not in {study.id for study in dataset.studies()}
        assert "train.csv: Frontal images that are neither PA nor AP, left out: 1." in dataset.notes

    def test_absent_laterals_are_counted(self, small):
        note = "train.csv: 1 of 11 studies have a lateral image."
        assert note in CheXpert(str(small)).notes

    def test_the_folder_above_will_do(self, tmp_path):
        write(tmp_path / "CheXpert-v1.0-small", {"train": patients("train", 9)})
        assert len(CheXpert(str(tmp_path)).studies()) == 9

    def test_patients_without_a_folder_are_left_out(self, small):
        rows = patients("train", 12)
        write(small, {"train": rows}, folders=False)
        dataset = CheXpert(str(small))
        assert len(dataset.studies()) == 10
        (note,) = [note for note in dataset.notes if "have no match" in note]
        assert "2 of 12 patients of train.csv" in note
        assert "so their studies are left out: 'train/patient00011', 'train/patient00012'" in note


class TestAnswers:
    """1 is present, 0 absent; -1 and a blank are what the options say."""

    @pytest.mark.parametrize(
        ("uncertain", "blank", "wanted"),
        [
            ("unknown", "zeros", (1, None, 0, 0)),
            ("ones", "zeros", (1, 1, 0, 0)),
            ("zeros", "zeros", (1, 0, 0, 0)),
            ("unknown", "unknown", (1, None, 0, None)),
            ("ones", "unknown", (1, 1, 0, None)),
        ],
    )
    def test_the_policies(self, small, uncertain, blank, wanted):
        dataset = CheXpert(str(small), uncertain=uncertain, blank=blank)
        labels = of(dataset, "patient00001/study1").labels
        names = ("Edema", "Pneumonia", "Fracture", "Atelectasis")
        assert tuple(labels.get(name) for name in names) == wanted

    def test_no_finding_is_denied_by_nothing_but_a_blank(self, small):
        studies = CheXpert(str(small), blank="unknown").studies()
        assert {study.labels.get("No Finding") for study in studies} == {None, 1}

    def test_what_the_policy_decided_is_counted(self, small):
        notes = CheXpert(str(small)).notes
        # One study has 3 answers, ten have 1 each; the others of 11 * 14 are blank.
        assert (
            "Labels that the reports leave uncertain (-1): 1, taken as unknown; "
            "-o chexpert.uncertain=ones|zeros changes that." in notes
        )
        assert (
            "Labels that the reports do not mention (blank): 141, taken as absent; "
            "-o chexpert.blank=unknown changes that." in notes
        )

    def test_images_of_a_study_that_differ(self, small):
        rows = [
            (f"{FIRST}/view1_frontal.jpg", "PA", {"Edema": "0", "Fracture": "-1", "Pneumonia": ""}),
            (f"{FIRST}/view2_lateral.jpg", "", {"Edema": "1", "Fracture": "0", "Pneumonia": "0"}),
        ]
        write(small, {"train": rows + patients("train", 9, 2)})
        dataset = CheXpert(str(small), uncertain="ones", blank="unknown")
        labels = of(dataset, "patient00001/study1").labels
        assert labels == {"Edema": 1, "Fracture": 1, "Pneumonia": 0}
        assert any("differ in their findings in 1 studies" in note for note in dataset.notes)

    def test_some_findings_in_the_order_of_the_tables(self, small):
        dataset = CheXpert(str(small), labels=("Edema", "Cardiomegaly"))
        assert [label.name for label in dataset.labels] == ["Cardiomegaly", "Edema"]
        assert of(dataset, "patient00001/study1").labels == {"Cardiomegaly": 0, "Edema": 1}
        assert {label.reported for label in dataset.labels} == {"present"}


class TestSplits:
    def splits(self, folder, **options):
        dataset = CheXpert(str(folder), **options)
        return {study.group: study.split for study in dataset.studies()}, dataset.notes

    def test_valid_is_the_test_split_without_a_test_table(self, tmp_path):
        write(tmp_path, {"train": patients("train", 40), "valid": patients("valid", 5, 64541)})
        splits, notes = self.splits(tmp_path)
        assert {splits[f"patient{64541 + n}"] for n in range(5)} == {"test"}
        of_train = [splits[f"patient{n + 1:05d}"] for n in range(40)]
        assert (of_train.count("val"), of_train.count("test")) == (4, 0)
        assert any("valid.csv is the test split; val is drawn from" in note for note in notes)

    def test_valid_validates_beside_a_test_table(self, tmp_path):
        tables = {"train": patients("train", 40), "valid": patients("valid", 5, 64541)}
        write(tmp_path, {**tables, "test": patients("test", 3, 64741)})
        splits, notes = self.splits(tmp_path)
        assert (splits["patient64541"], splits["patient64741"]) == ("val", "test")
        assert {splits[f"patient{n + 1:05d}"] for n in range(40)} == {"train"}
        assert "Splits: valid.csv is the val split; test.csv is the test split." in notes

    def test_what_no_table_is_can_be_drawn(self, tmp_path):
        write(tmp_path, {"train": patients("train", 40), "valid": patients("valid", 5, 64541)})
        splits, _ = self.splits(tmp_path, valid="val", test=0.2)
        of_train = [splits[f"patient{n + 1:05d}"] for n in range(40)]
        assert (of_train.count("val"), of_train.count("test")) == (0, 8)

    def test_visits_of_a_patient_stay_together(self, example):
        found = {}
        for study in CheXpert(example).studies():
            found.setdefault(study.group, set()).add(study.split)
        assert all(len(splits) == 1 for splits in found.values())

    def test_options_of_labels_do_not_move_patients(self, example):
        plain = CheXpert(example).studies()
        other = CheXpert(example, labels=("Fracture",), uncertain="ones").studies()
        assert [study.split for study in plain] == [study.split for study in other]


class TestMistakes:
    def said(self, folder, **options):
        with pytest.raises((DataError, OptionError)) as error:
            CheXpert(str(folder), **options)
        return str(error.value)

    def test_another_folder(self, tmp_path):
        assert "should hold train.csv, valid.csv and their folders" in self.said(tmp_path)

    def test_two_releases_in_one_folder(self, tmp_path):
        for name in ("CheXpert-v1.0", "CheXpert-v1.0-small"):
            write(tmp_path / name, {"train": patients("train", 3)})
        assert "it holds CheXpert-v1.0 and CheXpert-v1.0-small" in self.said(tmp_path)

    def test_a_path_of_another_form(self, small):
        write(small, {"train": [("train/patient00001/view1.jpg", "PA", {})]})
        assert "row 2, column 'Path': 'train/patient00001/view1.jpg' is not a path" in self.said(
            small
        )

    def test_an_answer_of_another_form(self, small):
        write(small, {"train": [(f"{FIRST}/view1_frontal.jpg", "PA", {"Edema": "maybe"})]})
        said = (
            "row 2, column 'Edema': 'maybe' is not 1 (present), 0 (absent), -1 (uncertain) or blank"
        )
        assert said in self.said(small)

    def test_no_patient_has_a_folder(self, tmp_path):
        write(tmp_path, {"train": patients("train", 3)}, folders=False)
        assert "none of the patients of train.csv matches" in self.said(tmp_path)

    def test_a_study_in_two_tables(self, small):
        rows = [(f"valid/{FIRST[6:]}/view1_frontal.jpg", "PA", {})]
        write(small, {"valid": rows})
        assert "the study 'patient00001/study1' is in several tables" in self.said(small)

    def test_an_unknown_finding(self, small):
        assert "no finding is called 'Oedema'" in self.said(small, labels=("Oedema",))
