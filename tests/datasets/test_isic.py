"""Collections of the ISIC Archive: pairs by lesion, kinds, labels from the table, wrong tables."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from sm3kit.core.errors import DataError, OptionError
from sm3kit.data.check import check
from sm3kit.datasets.isic import KINDS, Isic
from sm3kit.datasets.milk10k import Milk10k
from sm3kit.synthesis.layouts import write

Rows = list[dict[str, str]]


def image(name: str, lesion: str, kind: str = "dermoscopic", **changes: str) -> dict[str, str]:
    return {
        "isic_id": name,
        "attribution": "A hospital",
        "copyright_license": "CC-BY",
        "age_approx": "55.0",
        "diagnosis_1": "Benign",
        "diagnosis_3": "Nevus",
        "image_type": kind,
        "lesion_id": lesion,
        "melanocytic": "True",
        "patient_id": f"P{lesion}",
        "sex": "female",
        **changes,
    }


def collection(folder: Path, rows: Rows, name: str = "metadata.csv") -> str:
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return str(folder)


@pytest.fixture
def small(tmp_path: Path) -> str:
    """Two patients of two lesions each; lesion 1 has everything, 3 and 4 one kind."""
    return collection(
        tmp_path,
        [
            image("d2", "1"),
            image("d1", "1"),
            image("c1", "1", "clinical: close-up"),
            image("o1", "1", "clinical: overview"),
            image("d3", "2", patient_id="P1", sex="male"),
            image("c3", "2", "clinical: close-up", patient_id="P1"),
            image("d4", "3", diagnosis_1="Malignant", melanocytic="False", age_approx="30"),
            image("c5", "4", "clinical: close-up", diagnosis_1="Malignant", patient_id="P3"),
        ],
    )


def test_images_are_brought_together_by_lesion(small: str) -> None:
    data = Isic(small)
    assert list(data.modalities) == ["derm", "clinic", "overview"]
    assert [(study.id, study.group) for study in data.studies()] == [
        *(("1", "P1"), ("2", "P1"), ("3", "P3"), ("4", "P3"))
    ]
    assert [study.images for study in data.studies()] == [
        {
            "derm": (f"{small}/d1.jpg", f"{small}/d2.jpg"),
            "clinic": f"{small}/c1.jpg",
            "overview": f"{small}/o1.jpg",
        },
        {"derm": f"{small}/d3.jpg", "clinic": f"{small}/c3.jpg"},
        {"derm": f"{small}/d4.jpg"},
        {"clinic": f"{small}/c5.jpg"},
    ]
    assert data.notes[:2] == [
        "Images are brought together by lesion_id: 4 lesions, 2 of them with several kinds of image "
        "and 2 with one.",
        "Studies with several images of one kind, of which each epoch draws one: 1.",
    ]
    assert data.notes[-2:] == [
        "There is no official split: split by patient, stratified on diagnosis_1, seed 0.",
        "Licences: 8 x 'CC-BY'. Attribution: 8 x 'A hospital'.",
    ]


def test_labels_are_columns_that_hold_classes(small: str) -> None:
    """diagnosis_3 has one class; the two images of lesion 2 contradict each other in sex."""
    data = Isic(small)
    assert {label.name: (label.classes, label.reported) for label in data.labels} == {
        "diagnosis_1": (("Benign", "Malignant"), "Malignant"),
        "melanocytic": (("False", "True"), "True"),
        "age": (("0-29", "30-49", "50-69", "70+"), ""),
    }
    assert [study.labels for study in data.studies()] == [
        {"diagnosis_1": 0, "melanocytic": 1, "age": 2},
        {"diagnosis_1": 0, "melanocytic": 1, "age": 2},
        {"diagnosis_1": 1, "melanocytic": 0, "age": 1},
        {"diagnosis_1": 1, "melanocytic": 1, "age": 2},
    ]
    assert (
        "Not used as labels: diagnosis_3 (1 values in 4 studies), sex (1 values in 3 studies)."
        in data.notes
    )


def test_a_column_of_ages_comes_before_approximate_ones(tmp_path: Path) -> None:
    """It is a column as any other, also where there are no approximate ages."""
    rows = [
        image(f"d{n}", str(n), age="young" if n % 2 else "old", diagnosis_1="Benign")
        for n in range(6)
    ]
    both = Isic(collection(tmp_path / "both", rows))
    note = "There is a column age, so age_approx is not used."
    assert note in both.notes
    for row in rows:
        del row["age_approx"]
    alone = Isic(collection(tmp_path / "alone", rows))
    assert note not in alone.notes
    for data in (both, alone, Isic(both.argument, labels=("age",))):
        assert {label.name: label.classes for label in data.labels} == {"age": ("old", "young")}
        assert [study.labels["age"] for study in data.studies()] == [0, 1, 0, 1, 0, 1]


def test_labels_can_be_chosen(small: str) -> None:
    assert [label.name for label in Isic(small, labels=("age", "diagnosis_1")).labels] == [
        *("age", "diagnosis_1")
    ]
    with pytest.raises(OptionError, match=r"option 'labels': No label named 'diagnosis_9'\. "):
        Isic(small, labels=("diagnosis_9",))
    with pytest.raises(OptionError, match="No label named 'lesion_id'"):
        Isic(small, labels=("lesion_id",))
    with pytest.raises(DataError) as error:
        Isic(small, labels=("diagnosis_3",))
    assert str(error.value) == (
        f"{small}/metadata.csv, column 'diagnosis_3' has 1 known classes; a label needs two. Leave "
        "it out of -o isic.labels."
    )


def test_images_that_contradict_each_other_have_no_label(tmp_path: Path) -> None:
    rows = [image(f"d{n}", str(n), diagnosis_3="ab"[n % 2]) for n in range(8)]
    rows.append(image("c0", "0", "clinical: close-up", diagnosis_3="b"))
    data = Isic(collection(tmp_path, rows), labels=("diagnosis_3",))
    assert [study.labels for study in data.studies()][:2] == [{}, {"diagnosis_3": 1}]
    assert (
        "Studies whose images contradict each other in diagnosis_3, which is unknown there: 1 (0)."
        in data.notes
    )


def test_kinds_can_be_chosen(small: str) -> None:
    data = Isic(small, kinds=("overview", "clinic"))
    assert list(data.modalities) == ["clinic", "overview"]
    assert [study.id for study in data.studies()] == ["1", "2", "4"]
    assert "Images of other kinds than isic.kinds, left out: 4 derm." in data.notes
    with pytest.raises(
        OptionError, match=r"No kind of image named 'tbp'\. Known: clinic, derm, over"
    ):
        Isic(small, kinds=("tbp",))


def test_every_kind_of_the_archive_is_a_modality(tmp_path: Path) -> None:
    rows = [image(f"i{n}", "1", kind) for n, kind in enumerate(KINDS)]
    data = Isic(collection(tmp_path, [*rows, image("i9", "1", "")]))
    assert list(data.studies()[0].images) == list(KINDS.values()) == list(data.modalities)
    assert "Images without an image_type, left out: 1." in data.notes


@pytest.mark.parametrize(
    ("kind", "modality"),
    [
        ("clinical", "clinic"),
        ("overview", "overview"),
        ("Dermoscopic", "derm"),
        ("CLINICAL:  close-up", "clinic"),
        ("tbp tile: close-up", "tbp"),
        ("rcm: mosaic", "rcm_mosaic"),
    ],
)
def test_kinds_in_other_words(tmp_path: Path, kind: str, modality: str) -> None:
    """Older downloads have other words, and two words for one kind make no second kind."""
    data = Isic(collection(tmp_path, [image("a", "1", kind)]))
    assert data.studies()[0].images == {modality: f"{tmp_path}/a.jpg"}
    usual = {name: kind for kind, name in KINDS.items()}[modality]
    data = Isic(collection(tmp_path, [image("a", "1", kind), image("b", "1", usual)]))
    assert data.studies()[0].images == {modality: (f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg")}
    assert "1 lesions, 0 of them with several kinds of image and 1 with one." in data.notes[0]


def test_images_may_have_another_suffix_or_case(tmp_path: Path) -> None:
    """A usual name comes first, a missing image keeps it; a folder below is not looked at."""
    names = ("ISIC_1", "ISIC_2", "ISIC_3", "ISIC_4", "ISIC_5")
    folder = collection(tmp_path, [image(name, name) for name in names])
    for name in ("ISIC_1.jpg", "ISIC_1.png", "ISIC_2.JPG", "isic_3.png", "masks/ISIC_4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    data = Isic(folder)
    assert [study.images["derm"] for study in data.studies()] == [
        f"{folder}/{name}"
        for name in ("ISIC_1.jpg", "ISIC_2.JPG", "isic_3.png", "ISIC_4.jpg", "ISIC_5.jpg")
    ]
    assert "Files found under another suffix or case: 2 of 5." in data.notes
    assert [Path(fault.use.path).name for fault in check(data).missing] == [
        *("ISIC_4.jpg", "ISIC_5.jpg")
    ]


def test_images_without_a_lesion_or_a_patient(tmp_path: Path) -> None:
    rows = [image("d1", ""), image("d2", "NA", patient_id=""), image("c3", "3", patient_id="-")]
    data = Isic(collection(tmp_path, [*rows, image("d3", "3", patient_id="P")]))
    assert [(study.id, study.group) for study in data.studies()] == [
        *(("3", "P"), ("d1", "P"), ("d2", "d2"))
    ]
    assert "Images without a lesion_id, each a study of its own: 2." in data.notes
    assert "Studies without a patient_id, each a group of its own: 1." in data.notes


def test_columns_that_a_collection_lacks(tmp_path: Path) -> None:
    rows = [{"isic_id": f"d{n}", "image_type": "dermoscopic"} for n in range(3)]
    data = Isic(collection(tmp_path, rows))
    assert [study.id for study in data.studies()] == ["d0", "d1", "d2"]
    assert not data.labels
    assert data.notes[0] == "There is no column lesion_id."
    assert data.notes[-1] == "Licences: 3 x 'no licence'. Attribution: 3 x 'nobody'."


def test_a_table_of_another_name_and_a_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    folder = collection(tmp_path, [image("d1", "1")], "hiba_metadata_2024-01-01.csv")
    assert Isic(folder).studies()[0].images == {"derm": f"{tmp_path}/images/d1.jpg"}


def test_the_archive_of_milk10k_has_the_same_pairs(tmp_path: Path) -> None:
    write("milk10k-archive", tmp_path / "m", 12, 32)
    ours, theirs = Isic(str(tmp_path / "m")), Milk10k(str(tmp_path / "m"))
    pairs = {study.id: study.images for study in ours.studies()}
    assert pairs == {study.id: study.images for study in theirs.studies()}
    assert {study.id: study.labels["sex"] for study in ours.studies()} == {
        study.id: study.labels["sex"] for study in theirs.studies()
    }


def test_drawn_traps(tmp_path: Path) -> None:
    write("isic", tmp_path / "i", 40, 32)
    data = Isic(str(tmp_path / "i"))
    report = check(data)
    assert report.ok
    assert not report.shared
    counts = Counter(tuple(study.images) for study in data.studies())
    assert counts["derm", "clinic"] > counts["derm",] > 0 < counts["clinic",]
    assert any(isinstance(study.images.get("derm"), tuple) for study in data.studies())
    assert any(study.id.startswith("ISIC_") for study in data.studies())
    assert any(study.group == study.id for study in data.studies())


# What a user reads when something is wrong.


def message(folder: str) -> str:
    with pytest.raises(DataError) as error:
        Isic(folder)
    return str(error.value)


def test_no_layout(tmp_path: Path) -> None:
    said = (
        f"{tmp_path} does not have the layout of the ISIC Archive. isic:DIR needs metadata.csv with "
        "the images beside it or in images/."
    )
    assert message(str(tmp_path)) == said
    for name in ("a.csv", "b.csv"):
        collection(tmp_path, [image("d1", "1")], name)
    assert message(str(tmp_path)) == said


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [image("d1", "1", "dermoscopc")],
            "row 2, column 'image_type': unknown value 'dermoscopc'. Did you mean 'dermoscopic'? "
            f"Known: {', '.join(KINDS)}.",
        ),
        (
            [image("d1", "1"), image("d1", "2")],
            "row 3, column 'isic_id': 'd1' is also in row 2, with other values. Each image needs one "
            "row, and an id.",
        ),
        (
            [image("d1", "1"), image("d2", "1", patient_id="Q")],
            "row 3, column 'patient_id': 'Q', but the same lesion '1' is of 'P1' in row 2. Correct "
            "one.",
        ),
        (
            [image("1", ""), image("d2", "1")],
            "row 2, column 'isic_id': '1' is the id of an image without a lesion, and of a lesion. "
            "Rename one.",
        ),
        (
            [image("d1", "1", age_approx="old")],
            "row 2, column 'age_approx': 'old' is not a number. Write one, such as 55.",
        ),
    ],
)
def test_wrong_cells(tmp_path: Path, rows: Rows, said: str) -> None:
    assert message(collection(tmp_path, rows)) == f"{tmp_path}/metadata.csv, {said}"


def test_a_name_that_two_files_have(tmp_path: Path) -> None:
    folder = collection(tmp_path, [image("d1", "1")])
    for name in ("d1.JPG", "d1.png"):
        (tmp_path / name).touch()
    assert message(folder) == (
        f"{folder}/metadata.csv, row 2, column 'isic_id': 'd1.jpg' may be {folder}/d1.JPG or "
        f"{folder}/d1.png. Keep one."
    )


def test_no_kind_at_all(tmp_path: Path) -> None:
    folder = collection(tmp_path, [image("d1", "1", "")])
    assert message(folder) == f"{folder}/metadata.csv, column 'image_type' is blank in all rows."
