"""The layouts of autoPET, HECKTOR and of any scans: studies, labels, patients, grids."""

import csv
from pathlib import Path

import numpy as np
import pytest

from sm3kit.api import DataError, OptionError, file_and_part
from sm3kit_volumes import examples
from sm3kit_volumes.datasets.autopet import AutoPET
from sm3kit_volumes.datasets.hecktor import Hecktor
from sm3kit_volumes.datasets.volumes import Volumes
from sm3kit_volumes.modalities.ct import CT
from sm3kit_volumes.modalities.pet import PET


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def table(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def named(dataset):
    """{id: {label: class}} in words."""
    classes = {label.name: label.classes for label in dataset.labels}
    return {
        study.id: {name: classes[name][index] for name, index in study.labels.items()}
        for study in dataset.studies()
    }


# autoPET

KM = "03-23-2003-NA-PET-CT Ganzkoerper  primaer mit KM-58170"


@pytest.fixture
def autopet(tmp_path):
    for stem in (f"fdg_aa_{KM}", "fdg_aa_05-01-2004-NA-x-1", "fdg_bb_01-01-2003-NA-y-2"):
        touch(tmp_path, f"imagesTr/{stem}_0000.nii.gz", f"imagesTr/{stem}_0001.nii.gz")
    touch(tmp_path, "imagesTr/psma_cc_2018-04-23_0001.nii.gz", "labelsTr/psma_cc_x.nii.gz")
    headings = ["Subject ID", "Study Date", "Series Description", "diagnosis", "age"]
    table(
        tmp_path / "fdg_metadata.csv",
        headings,
        ["PETCT_aa", "03-23-2003", "CT", "LYMPHOMA", "060Y"],
        ["PETCT_aa", "03-23-2003", "PET", "LYMPHOMA", "060Y"],
        ["PETCT_aa", "05-01-2004", "PET", "NEGATIVE", "061Y"],
        ["PETCT_bb", "", "PET", "NEGATIVE", "061Y"],
    )
    table(tmp_path / "psma_metadata.csv", ["Subject ID", "Study Date"], ["PSMA_cc", "2018-04-23"])
    return tmp_path


def test_autopet(autopet):
    found = AutoPET(str(autopet))
    assert named(found) == {
        f"fdg_aa_{KM}": {"diagnosis": "LYMPHOMA", "tracer": "fdg"},
        "fdg_aa_05-01-2004-NA-x-1": {"diagnosis": "NEGATIVE", "tracer": "fdg"},
        "fdg_bb_01-01-2003-NA-y-2": {"diagnosis": "NEGATIVE", "tracer": "fdg"},
        "psma_cc_2018-04-23": {"tracer": "psma"},
    }
    studies = {study.id: study for study in found.studies()}
    assert [studies[one].group for one in sorted(studies)] == ["aa", "aa", "bb", "cc"]
    assert {s.split for s in studies.values() if s.group == "aa"} <= {"train", "val", "test"}
    assert len({s.split for s in studies.values() if s.group == "aa"}) == 1
    assert set(studies["psma_cc_2018-04-23"].images) == {"pet"}
    images = studies[f"fdg_aa_{KM}"].images
    assert {n: Path(p).name[-11:] for n, p in images.items()} == {
        "ct": "0000.nii.gz",
        "pet": "0001.nii.gz",
    }
    assert {spec.plugin: spec.frame for spec in found.modalities.values()} == {
        "ct": "pet",
        "pet": "pet",
    }


def test_the_older_autopet(tmp_path):
    for visit in ("PETCT_aa/2001-x", "PETCT_aa/2002-y", "PETCT_bb/2003-z"):
        touch(tmp_path, *(f"{visit}/{n}.nii.gz" for n in ("CT", "CTres", "SUV", "PET", "SEG")))
    found = AutoPET(str(tmp_path))
    assert [(s.id, s.group) for s in found.studies()] == [
        ("aa_2001-x", "aa"),
        ("aa_2002-y", "aa"),
        ("bb_2003-z", "bb"),
    ]
    first = found.studies()[0]
    assert {n: Path(p).name for n, p in first.images.items()} == {
        "ct": "CTres.nii.gz",
        "pet": "SUV.nii.gz",
    }
    assert found.labels == []
    assert "Label 'tracer' is left out: it has fewer than two classes." in found.notes


@pytest.mark.parametrize("plugin", [AutoPET, Hecktor])
def test_folders_that_hold_something_else(plugin, tmp_path):
    with pytest.raises(DataError, match="holds no (AutoPET|HECKTOR 2025)"):
        plugin(str(tmp_path))


# HECKTOR


@pytest.fixture
def hecktor(tmp_path):
    for task, patients in (("Task 1", ("CHUM-001", "MDA-002")), ("Task 3", ("CHUM-001", "CHUP-3"))):
        for one in patients:
            stem = f"{task}/{one}/{one}"
            touch(tmp_path, f"{stem}__CT.nii.gz", f"{stem}__PT.nii.gz", f"{stem}.nii.gz")
    touch(tmp_path, "Task 2/CHUS-4/CHUS-4__CT.nii.gz", "Task 2/CHUS-4/CHUS-4__CTPlanning.nii.gz")
    table(
        tmp_path / "Task 1/HECKTOR_2025_Training_Task_1.csv",
        ["PatientID", "M-stage", "Age"],
        ["CHUM-001", "M0", "60"],
        ["MDA-002", "M1", "50"],
    )
    table(
        tmp_path / "Task 2/HECKTOR_2025_Training_Task_2.csv",
        ["PatientID", "Relapse", "RFS", "M-stage"],
        ["CHUM-001", "1", "300", ""],
        ["CHUS-4", "0.0", "900", ""],
    )
    table(
        tmp_path / "Task 3/HECKTOR_2025_Training_Task_3.csv",
        ["PatientID", "HPV Status"],
        ["CHUM-001", "1.0"],
        ["CHUP-3", "0"],
        ["MDA-002", "nan"],
    )
    return tmp_path


def test_hecktor(hecktor):
    found = Hecktor(str(hecktor))
    assert named(found) == {
        "CHUM-001": {"HPV": "1", "M-stage": "M0", "relapse": "1"},
        "CHUP-3": {"HPV": "0"},
        "CHUS-4": {"relapse": "0"},
        "MDA-002": {"M-stage": "M1"},
    }
    studies = {study.id: study for study in found.studies()}
    assert set(studies["CHUS-4"].images) == {"ct"}
    assert file_and_part(studies["MDA-002"].images["pet"])[1] == "grid=MDA-002__CT.nii.gz"
    assert "#" not in studies["MDA-002"].images["ct"]
    assert {spec.frame for spec in found.modalities.values()} == {"ct"}


def test_the_grid_that_is_chosen(hecktor):
    images = {s.id: s.images for s in Hecktor(str(hecktor), grid="pet").studies()}
    assert file_and_part(images["MDA-002"]["ct"])[1] == "grid=MDA-002__PT.nii.gz"
    assert "#" not in images["CHUS-4"]["ct"]  # There is no PET to resample it to.
    plain = Hecktor(str(hecktor), grid="none")
    assert {spec.frame for spec in plain.modalities.values()} == {""}
    assert not any("#" in path for study in plain.studies() for path in study.images.values())


def test_both_images_of_hecktor_are_read_on_one_grid(tmp_path):
    study = Hecktor(Hecktor.example(tmp_path)).studies()[0]
    ct, pet = CT(16, reduce=False).read(study.images["ct"]), PET(16, reduce=False)
    assert pet.read(study.images["pet"]).shape == ct.shape == (1, 32, 32)
    assert pet.read(file_and_part(study.images["pet"])[0]).shape == (1, 16, 16)


def test_hecktor_refuses_the_scan_of_another(hecktor):
    touch(hecktor, "Task 1/MDA-002/CHUM-001__PT.nii.gz")
    with pytest.raises(DataError, match="different people: the file is of 'CHUM-001', the folder"):
        Hecktor(str(hecktor))


# Any scans


def test_a_table(tmp_path):
    path = table(
        tmp_path / "t.csv",
        ["ID", "Group", "Split", "psma_pet", "t1", "grade", "age", "site"],
        ["a", "p1", "train", "a/pet.nii.gz", "a\\t1.mha", "2.0", "61", "x"],
        ["b", "p2", "valid", "b/pet.nii.gz", "", "10", "62", "x"],
        ["c", "p3", "test", "", "c/t1.mha#time=1", "", "63", "x"],
        ["d", "p3", "test", "", "/data/t1.mha", "10", "64", "x"],
        ["e", "p1", "train", "e/pet.nii", "", "2", "65", "x"],
    )
    found = Volumes(str(path))
    assert {name: spec.plugin for name, spec in found.modalities.items()} == {
        "psma_pet": "pet",
        "t1": "mr",
    }
    assert [(label.name, label.classes) for label in found.labels] == [("grade", ("2", "10"))]
    one, _, three, four, _ = found.studies()
    assert one.images["t1"] == str(tmp_path / "a/t1.mha")
    assert (one.group, one.split, one.labels) == ("p1", "train", {"grade": 0})
    assert (three.labels, three.images) == ({}, {"t1": str(tmp_path / "c/t1.mha#time=1")})
    assert four.images == {"t1": "/data/t1.mha"}
    assert [study.id for study in found.studies("val")] == ["b"]
    assert {spec.frame for spec in found.modalities.values()} == {""}


@pytest.fixture
def folders(tmp_path):
    for case in ("p1_a", "p1_b", "p2_a", "p3_a"):
        touch(tmp_path, f"{case}/PSMA/CT.nii.gz", f"{case}/PSMA/PET.nii.gz", f"{case}/ct.nii.gz")
    touch(tmp_path, "p3_a/FDG/PET.nii.gz")
    table(tmp_path / "labels.csv", ["id", "stage"], ["p1_a", "I"], ["p1_b", "II"], ["p2_a", "I"])
    return tmp_path


IMAGES = ("psma_ct:PSMA/CT.nii.gz", "psma_pet:PSMA/PET.nii.gz", "fdg_pet:FDG/PET.nii.gz")


def test_a_folder_per_case(folders):
    found = Volumes(
        str(folders), images=IMAGES, patient=r"(p\d)_", registered=("psma_ct", "psma_pet"),
        labels=("stage",),
    )  # fmt: skip
    assert {name: (spec.plugin, spec.frame) for name, spec in found.modalities.items()} == {
        "psma_ct": ("ct", "registered"),
        "psma_pet": ("pet", "registered"),
        "fdg_pet": ("pet", ""),
    }
    assert [(s.id, s.group, len(s.images)) for s in found.studies()] == [
        ("p1_a", "p1", 2),
        ("p1_b", "p1", 2),
        ("p2_a", "p2", 2),
        ("p3_a", "p3", 3),
    ]
    assert named(found)["p1_b"] == {"stage": "II"}
    assert named(found)["p3_a"] == {}
    assert [s.split for s in found.studies()][0] == [s.split for s in found.studies()][1]
    assert list(Volumes(str(folders)).modalities) == ["ct"]


def test_slices_are_studies_of_one_group(folders):
    plain = Volumes(str(folders), images=IMAGES, grid="psma_ct").studies()[0]
    found = Volumes(str(folders), images=IMAGES, grid="psma_ct", slices=3).studies()[:3]
    assert [study.id for study in found] == ["p1_a/25%", "p1_a/50%", "p1_a/75%"]
    assert {(study.group, study.split) for study in found} == {(plain.group, plain.split)}
    assert file_and_part(found[0].images["psma_ct"])[1] == "slice=25%"
    assert file_and_part(found[2].images["psma_pet"])[1] == "slice=75%&grid=CT.nii.gz"


def test_splits_are_by_patient_stratified_and_by_seed(tmp_path):
    rows = [[f"s{n}", f"p{n // 2}", "x.nii", "ab"[n // 2 % 5 == 0]] for n in range(80)]
    path = table(tmp_path / "t.csv", ["id", "group", "ct", "rare"], *rows)
    found = Volumes(str(path))
    splits = {}
    for study in found.studies():
        assert splits.setdefault(study.group, study.split) == study.split
    assert [len(found.studies(s)) for s in ("train", "val", "test")] == [52, 12, 16]
    for split in ("train", "val", "test"):
        assert {study.labels["rare"] for study in found.studies(split)} == {0, 1}
    other = {s.group: s.split for s in Volumes(str(path), split_seed=1).studies()}
    assert other != splits
    assert found.notes == ["Split by patient, stratified on rare, seed 0."]
    with pytest.raises(OptionError, match="val=0.5 and test=0.5 must be 0 or more and leave some"):
        Volumes(str(path), val=0.5, test=0.5)


# Different people

STORED = np.random.default_rng(0).integers(0, 2000, (6, 6, 4))


@pytest.fixture
def chaos(series, tmp_path):
    """The layout of CHAOS: a CT and an MR with the same number are of two people."""
    series(tmp_path / "CT/1/DICOM_anon", STORED, uid="1.1", PatientID="ct-1")
    series(tmp_path / "MR/1/T2SPIR/DICOM_anon", STORED, uid="1.2", PatientID="mr-1")
    return table(
        tmp_path / "t.csv",
        ["id", "ct", "mr"],
        ["1", "CT/1/DICOM_anon", "MR/1/T2SPIR/DICOM_anon"],
    )


def test_the_headers_tell_different_people(chaos):
    with pytest.raises(
        DataError,
        match="Study '1' pairs different people: ct .*DICOM_anon. is of 'ct-1', mr .* of 'mr-1'",
    ):
        Volumes(str(chaos))


def test_the_names_tell_different_people(chaos, tmp_path):
    for file in tmp_path.rglob("*.dcm"):
        file.unlink()
    assert [s.group for s in Volumes(str(chaos)).studies()] == ["1"]
    with pytest.raises(DataError, match="pairs different people: ct .* of 'CT/1', mr .* 'MR/1'"):
        Volumes(str(chaos), patient=r"(CT|MR)/\d+".replace("(", "(?:"))


def test_headers_of_one_person_are_the_group(series, tmp_path):
    for number in (1, 2):
        series(tmp_path / f"{number}/CT", STORED, PatientID="Jane")
        series(tmp_path / f"{number}/MR", STORED, uid="1.5", PatientID="Jane")
    rows = [[str(n), f"{n}/CT", f"{n}/MR#series=1.5"] for n in (1, 2)]
    found = Volumes(str(table(tmp_path / "t.csv", ["id", "ct", "mr"], *rows)))
    assert [study.group for study in found.studies()] == ["Jane", "Jane"]
    assert CT(32).read(found.studies()[0].images["ct"]).shape == (1, 6, 6)


# Mistakes


@pytest.mark.parametrize(
    ("rows", "error", "text"),
    [
        ([["id", "ct"]], DataError, "has headings but no rows"),
        ([["case", "ct"], ["a", "x.nii"]], DataError, "has no column 'id'"),
        ([["id", "age"], ["a", "7"]], DataError, "has no column with paths of scans .*id, age"),
        ([["id", "ct", "ct"], ["a", "x.nii", ""]], DataError, "has the column 'ct' twice"),
        (
            [["id", "ct"], ["a", "x.nii"], ["a", "y.nii"]],
            DataError,
            "row 3, column 'id': 'a' is also in row 2, with other values. Each study needs a uniqu",
        ),
        ([["id", "ct"], ["", "x.nii"]], DataError, "row 2, column 'id': blank. Each study needs"),
        (
            [["id", "ct", "split"], ["a", "x.nii", "tarin"]],
            DataError,
            "'split': unknown value 'tarin'",
        ),
        ([["id", "scan"], ["a", "x.nii"]], OptionError, "may be ct, pet or mr. Say which: -o volu"),
    ],
)
def test_tables_that_are_wrong(tmp_path, rows, error, text):
    with pytest.raises(error, match=text):
        Volumes(str(table(tmp_path / "t.csv", *rows)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"grid": "mr"}, "'volumes.grid': there is no 'mr'. Known: ct"),
        ({"registered": ("ct", "pt")}, "'volumes.registered': there is no 'pt'"),
        ({"labels": ("stag",)}, "'volumes.labels': there is no 'stag'. Known: stage"),
        ({"images": ("ct",)}, "'volumes.images' must be NAME:VALUE, not 'ct'"),
        ({"plugins": ("mr:ct",)}, "'volumes.plugins': there is no 'mr'"),
        ({"patient": "("}, "'patient' is not a valid regular expression"),
    ],
)
def test_options_that_are_wrong(folders, options, text):
    with pytest.raises(OptionError, match=text):
        Volumes(str(folders), **options)


def test_files_that_are_wrong(folders, tmp_path):
    with pytest.raises(DataError, match=r"There is no CSV file .*gone.csv"):
        Volumes(str(tmp_path / "gone.csv"))
    with pytest.raises(DataError, match=r"No folder in .* matches ct:x\*. Name the files with"):
        Volumes(str(folders), images=("ct:x*",))
    touch(folders, "p2_a/ct.nii")
    with pytest.raises(DataError, match=r"several files for ct \(ct.\*\): ct.nii and ct.nii.gz"):
        Volumes(str(folders))


def test_a_name_that_does_not_tell_its_plugin(tmp_path):
    path = examples.write_scan(tmp_path / "a.nii.gz", examples.signal(0))
    found = Volumes(
        str(table(tmp_path / "t.csv", ["id", "scan"], ["a", path])), plugins=("scan:mr",)
    )
    assert found.modalities["scan"].plugin == "mr"
