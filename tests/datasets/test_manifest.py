"""The manifest: how columns are told apart, splits, classes, and every answer to a wrong file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import openpyxl
import pytest

from sm3kit.core.errors import DataError, OptionError
from sm3kit.datasets.base import LabelSpec
from sm3kit.datasets.manifest import Manifest
from sm3kit.synthesis.layouts import write

ROWS = [
    "id,split,group,derm,clinic,DIAG,grade,note",
    "a,train,p1,a_d.jpg,a_c.jpg,NEV,10,seen on Monday",
    "b,train,p1,b_d.jpg,b_c.PNG,NEV,9,seen on Tuesday",
    "c,Training,p2,c_d.jpg,,MEL,9,",
    "d,valid,p3,d_d.jpg,d_c.jpg,MEL,unknown,left foot",
    "e,validation,,e_d.jpg,e_c.jpg,,-1,right foot",
    "f,dev,p4,f_d.jpg,f_c.jpg,BCC,nan,none",
    "g,test,p5,g_d.jpg,g_c.jpg,BCC,10,x",
    "h,test,p6,g_d.jpg,/far/h_c.jpg,BCC,2.0,y",
    "i,train,p7,i_d.jpg,i_c.jpg,BCC,2,z",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "my.csv"


def save(path: Path, lines: list[str], old: str = "", new: str = "") -> str:
    path.write_text("\n".join(lines).replace(old, new) + "\n" if old else "\n".join(lines) + "\n")
    return str(path)


def test_columns_are_told_apart(path: Path) -> None:
    data = Manifest(save(path, ROWS))
    assert list(data.modalities) == ["derm", "clinic"]
    assert {spec.plugin for spec in data.modalities.values()} == {"photo"}
    assert data.labels == [
        LabelSpec("DIAG", ("BCC", "MEL", "NEV")),
        LabelSpec("grade", ("2", "9", "10")),
    ]
    assert [label.reported for label in data.labels] == ["", ""]
    assert data.notes == [
        "Not used as labels: note (7 different values in 7 rows, 1 x 'none' unknown). "
        "Name the labels with -o manifest.labels=NAME,... to choose others.",
        "Treated as unknown in my.csv, grade: 1 x '-1', 1 x 'nan', 1 x 'unknown'. "
        "Other words are set with -o manifest.unknown=WORD,...",
    ]


def test_names_without_the_suffix_of_their_files(path: Path) -> None:
    (path.parent / "ISIC_1.jpg").touch()
    with pytest.raises(DataError) as error:
        Manifest(save(path, ["id,isic_id", "a,ISIC_1", "b,ISIC_2"]))
    assert str(error.value) == (
        f"{path} has no column with image paths (.jpg, .jpeg, .png, .tif ...). Its columns: id, "
        "isic_id. Column 'isic_id' leaves out the suffix: ISIC_1 is ISIC_1.jpg. Add it."
    )


def test_studies(path: Path) -> None:
    folder = path.parent
    first, _, third, fourth, fifth, *_, eighth, _ = Manifest(save(path, ROWS)).studies()
    assert first.images == {"derm": f"{folder}/a_d.jpg", "clinic": f"{folder}/a_c.jpg"}
    assert (first.id, first.group, first.split) == ("a", "p1", "train")
    assert first.labels == {"DIAG": 2, "grade": 2}
    assert list(third.images) == ["derm"]
    assert fourth.labels == {"DIAG": 1}
    assert (fifth.group, fifth.labels) == ("e", {})
    assert eighth.images["clinic"] == "/far/h_c.jpg"
    assert eighth.labels["grade"] == 0


def test_several_images_stand_in_one_cell(path: Path) -> None:
    folder = path.parent
    data = Manifest(save(path, ROWS, "a_d.jpg", "a_d.jpg | sub\\a2_d.jpg|"))
    assert list(data.modalities) == ["derm", "clinic"]
    first, second, *_ = data.studies()
    assert first.images["derm"] == (f"{folder}/a_d.jpg", f"{folder}/sub/a2_d.jpg")
    assert second.images["derm"] == f"{folder}/b_d.jpg"


def test_a_path_may_name_a_part_of_its_file(path: Path) -> None:
    data = Manifest(save(path, ROWS, "a_d.jpg", "ct.nii.gz#slice=12"))
    assert list(data.modalities) == ["derm", "clinic"]
    assert data.studies()[0].images["derm"] == f"{path.parent}/ct.nii.gz#slice=12"


def test_registered_modalities(path: Path) -> None:
    data = Manifest(save(path, ROWS), registered=("derm", "clinic"))
    assert len({spec.frame for spec in data.modalities.values()}) == 1
    assert data.modalities["derm"].frame
    assert not Manifest(str(path)).modalities["derm"].frame
    with pytest.raises(OptionError, match=r"option 'registered'.*'drem'"):
        Manifest(str(path), registered=("drem",))


def test_words_for_splits(path: Path) -> None:
    data = Manifest(save(path, ROWS))
    assert Counter(study.split for study in data.studies()) == {"train": 4, "val": 3, "test": 2}
    assert [study.id for study in data.studies("val")] == ["d", "e", "f"]


def test_excel_saves_with_semicolons_and_a_mark(path: Path) -> None:
    plain = Manifest(save(path, ROWS))
    excel = path.parent / "excel.csv"
    text = "\r\n".join(ROWS).replace(",", ";").replace("a_d.jpg", "\\".join(["photos", "ä.jpg"]))
    excel.write_bytes(b"\xef\xbb\xbf" + text.encode())
    data = Manifest(str(excel))
    assert data.labels == plain.labels
    assert data.studies()[0].images["derm"] == f"{path.parent}/photos/ä.jpg"
    assert data.studies()[1:] == plain.studies()[1:]


def test_labels_are_chosen_by_name(path: Path) -> None:
    data = Manifest(save(path, ROWS), labels=("note", "DIAG"))
    assert [(label.name, len(label.classes)) for label in data.labels] == [("note", 7), ("DIAG", 3)]
    assert data.notes == [
        "Treated as unknown in my.csv, note: 1 x 'none'. "
        "Other words are set with -o manifest.unknown=WORD,..."
    ]


def test_modalities_are_chosen_by_name(path: Path) -> None:
    lines = ["id,split,ct,pet,derm,DIAG"]
    lines += [f"{n},train,series/{n},pet{n}.nii.gz,d{n}.jpg,{n % 2}" for n in range(6)]
    save(path, lines)
    assert list(Manifest(str(path)).modalities) == ["pet", "derm"]
    data = Manifest(str(path), modalities=("ct", "pet"), plugins=("ct:window",))
    assert {name: spec.plugin for name, spec in data.modalities.items()} == {
        "ct": "window",
        "pet": "photo",
    }
    assert data.studies()[0].images["ct"] == f"{path.parent}/series/0"
    # A column of images is never a label.
    assert [label.name for label in data.labels] == ["DIAG"]


def test_declared_classes_set_the_order(path: Path) -> None:
    data = Manifest(save(path, ROWS), classes=("DIAG:SK|NEV|MEL|BCC",), reported=("DIAG:MEL",))
    assert data.labels[0] == LabelSpec("DIAG", ("SK", "NEV", "MEL", "BCC"), "MEL")
    assert data.studies()[0].labels["DIAG"] == 1


def test_declared_classes_make_a_label(path: Path) -> None:
    lines = ["id,split,derm,DIAG", "1,train,a.jpg,MEL", "2,test,b.jpg,MEL"]
    data = Manifest(save(path, lines), classes=("DIAG:MEL|NEV",))
    assert data.labels == [LabelSpec("DIAG", ("MEL", "NEV"))]


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        (("0.0", "1.0"), "1"),
        (("Yes", "No"), "Yes"),
        (("TRUE", "false"), "TRUE"),
        (("present", "absent"), "present"),
        (("benign", "Malignant"), "Malignant"),
        (("female", "male"), ""),
        (("0", "2"), ""),
        (("no", "true"), ""),
    ],
)
def test_of_two_opposites_the_positive_one_is_reported(path: Path, words, reported) -> None:
    lines = ["id,split,derm,bad", *(f"{n},train,{n}.jpg,{words[n % 2]}" for n in range(4))]
    (label,) = Manifest(save(path, lines)).labels
    assert label.reported == reported
    (other,) = Manifest(save(path, lines), reported=(f"bad:{label.classes[0]}",)).labels
    assert other.reported == label.classes[0]


def test_classes_are_in_natural_order(path: Path) -> None:
    words = ["grade 10", "grade 2", "Grade 1", "-2", "10", "9.5"]
    lines = ["id,split,derm,g", *(f"{n},train,{n}.jpg,{words[n % 6]}" for n in range(12))]
    assert Manifest(save(path, lines)).labels[0].classes == (
        *("-2", "9.5", "10"),
        *("Grade 1", "grade 2", "grade 10"),
    )


def test_a_measurement_is_no_label(path: Path) -> None:
    lines = ["id,split,derm,age", *(f"{n},train,{n}.jpg,{n % 31}" for n in range(124))]
    data = Manifest(save(path, lines))
    assert data.labels == []
    assert data.notes[0].startswith("Not used as labels: age (31 different values in 124 rows).")
    assert data.notes[1] == (
        "There are no labels: pre-training works, but evaluation with labels does not."
    )


def patients(path: Path) -> str:
    """Forty patients with three rows each; the third of some has the rare class."""
    lines = ["id,group,derm,DIAG"]
    for number in range(120):
        rare = number % 3 == 2 and number < 12
        lines.append(f"{number},p{number // 3},{number}.jpg,{'MEL' if rare else 'NEV'}")
    return save(path, lines)


def test_without_split_column_the_groups_are_split(path: Path) -> None:
    data = Manifest(patients(path))
    of_group = {study.group: study.split for study in data.studies()}
    assert all(of_group[study.group] == study.split for study in data.studies())
    assert Counter(of_group.values()) == {"train": 26, "val": 6, "test": 8}
    # Four patients have the rare class: it is in each split.
    assert {study.split for study in data.studies() if study.labels["DIAG"] == 0} == {
        *("train", "val", "test")
    }
    assert data.notes == ["There is no column 'split': split by group, stratified on DIAG, seed 0."]


def test_the_split_is_seeded_and_blind_to_the_order_of_rows(path: Path) -> None:
    before = {study.id: study.split for study in Manifest(patients(path)).studies()}
    heading, *lines = path.read_text().splitlines()
    save(path, [heading, *reversed(lines)])
    assert {study.id: study.split for study in Manifest(str(path)).studies()} == before
    other = {study.id: study.split for study in Manifest(str(path), split_seed=1).studies()}
    assert other != before
    assert not Manifest(str(path), val=0.0).studies("val")


def test_the_written_layout_is_read(tmp_path: Path) -> None:
    write("manifest", tmp_path / "data", pairs=20, size=32, missing=0.3)
    data = Manifest(str(tmp_path / "data" / "manifest.csv"))
    assert len(data.studies()) == 20
    assert list(data.modalities) == ["derm", "clinic"]
    assert any("clinic" not in study.images for study in data.studies())
    assert all(Path(path).is_file() for one in data.studies() for path in one.images.values())


# What a user reads when something is wrong.


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        (
            "id,split",
            "name,split",
            "{path} has no column 'id'. Its columns: name, split, group, derm, clinic, DIAG, grade, "
            "note. Add one: a unique name per study.",
        ),
        (
            "\nc,",
            "\na,",
            "{path}, row 4, column 'id': 'a' is also in row 2, with other values. Each study needs "
            "a unique id; what studies share goes into a column 'group'.",
        ),
        (
            "\nc,",
            "\n,",
            "{path}, row 4, column 'id': blank. Each study needs a unique id; "
            "what studies share goes into a column 'group'.",
        ),
        (
            "Training",
            "trainn",
            "{path}, row 4, column 'split': unknown value 'trainn'. Did you mean 'train'? "
            "Known: train, training, val, valid, validation, dev, test.",
        ),
        (
            "b_c.PNG",
            "b_c",
            "{path}, row 3, column 'clinic': 'b_c' does not have the suffix of an image file, as others "
            "in this column do. Correct it, leave it blank, or name the modalities with "
            "-o manifest.modalities=NAME,...",
        ),
        (
            ".jpg",
            "",
            "{path} has no column with image paths (.jpg, .jpeg, .png, .tif ...). Its columns: id, "
            "split, group, derm, clinic, DIAG, grade, note. Name them with "
            "-o manifest.modalities=NAME,...",
        ),
    ],
)
def test_wrong_files(path: Path, old: str, new: str, answer: str) -> None:
    with pytest.raises(DataError) as error:
        Manifest(save(path, ROWS, old, new))
    assert str(error.value) == answer.format(path=path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        Manifest(f"{tmp_path}/no.csv")
    assert str(error.value) == (
        f"There is no CSV file {tmp_path}/no.csv. It should hold a row per study with id, images, labels."
    )


def test_a_value_outside_the_declared_classes(path: Path) -> None:
    with pytest.raises(DataError) as error:
        Manifest(save(path, ROWS), classes=("DIAG:NEV|MEL",))
    assert str(error.value) == (
        f"{path}, row 7, column 'DIAG': unknown value 'BCC'. Known: NEV, MEL."
    )


def test_a_label_needs_two_classes(path: Path) -> None:
    lines = ["id,split,derm,DIAG", "1,train,a.jpg,MEL", "2,test,b.jpg,"]
    with pytest.raises(DataError) as error:
        Manifest(save(path, lines), labels=("DIAG",))
    assert str(error.value) == (
        f"{path}, column 'DIAG' has 1 known classes; a label needs two. Declare them with "
        "-o manifest.classes='DIAG:A|B', or leave the label out."
    )


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (
            {"labels": ("grades",)},
            "option 'labels': No column named 'grades'. Did you mean 'grade'?",
        ),
        (
            {"modalities": ("drem",)},
            "option 'modalities': No column named 'drem'. Did you mean 'derm'?",
        ),
        ({"classes": ("DIAG",)}, "option 'classes' must be COLUMN:VALUE, not 'DIAG'."),
        (
            {"classes": ("dx:A|B",)},
            "option 'classes': No column named 'dx'. Known: DIAG, grade, note.",
        ),
        (
            {"classes": ("DIAG:A",)},
            "option 'classes' must be DIAG:A|B with at least two different classes, not 'A'.",
        ),
        (
            {"classes": ("DIAG:A|A",)},
            "option 'classes' must be DIAG:A|B with at least two different classes, not 'A|A'.",
        ),
        ({"reported": ("DIAG:SK",)}, "option 'reported': No class of 'DIAG' named 'SK'."),
        ({"plugins": ("ct:window",)}, "option 'plugins': No column named 'ct'."),
    ],
)
def test_wrong_options(path: Path, options: dict[str, tuple[str, ...]], answer: str) -> None:
    with pytest.raises(OptionError) as error:
        Manifest(save(path, ROWS), **options)  # type: ignore[arg-type]
    assert str(error.value).startswith(f"The dataset 'manifest': {answer}")


def test_a_spreadsheet_is_as_a_csv_file(tmp_path: Path) -> None:
    """Numbers and blanks in their cells, a blank line on top, and blank columns behind."""
    rows = [
        [None, None, None, None, None, None],
        ["id", "split", "group", "derm", "grade", None],
        *([n, "train", n // 2, f"{n}.jpg", n % 2 if n else None, None] for n in range(8)),
    ]
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "my.xlsx")
    lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows[1:]]
    (tmp_path / "my.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table, workbook = (Manifest(str(tmp_path / name)) for name in ("my.csv", "my.xlsx"))
    assert workbook.studies() == table.studies()
    assert workbook.labels == table.labels
