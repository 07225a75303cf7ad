"""Tables and folders as they come: unknown values, rows that do not fit, hidden files."""

import csv
import unicodedata

import numpy as np
import pytest

from sm3kit.api import UNKNOWN_WORDS, DataError
from sm3kit.data.check import check
from sm3kit_volumes.datasets.autopet import AutoPET
from sm3kit_volumes.datasets.hecktor import Hecktor
from sm3kit_volumes.datasets.volumes import Volumes
from sm3kit_volumes.readers import dicom
from sm3kit_volumes.readers.opening import open_volume

WORDS = [*UNKNOWN_WORDS, "nan", "n/a", "NULL", "Unknown", "-1.0"]
HECKTOR_TABLE = "Task 1/HECKTOR_2025_Training_Task_1.csv"
# How the ids of a table may be off; those of the folders are P001é, P002é ...
NEAR = {
    "leading zeros": lambda text: text.replace("P00", "P"),
    "the suffix": lambda text: f"{text}.nii.gz",
    "case": str.lower,
    "spaces": lambda text: text.replace("P", "P "),
    "Unicode form": lambda text: unicodedata.normalize("NFD", text),
}


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def table(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def patients(count=6):
    return [f"P{number + 1:03}é" for number in range(count)]


class VolumesTable:
    """Eight rows of a table; it lists no folder."""

    name, plugin = "t.csv", Volumes

    @classmethod
    def write(cls, root, ids=None, dx=None, **changes):
        columns = {
            "id": ids or patients(),
            "ct": [f"{one}.nii" for one in patients()],
            "pet": [f"{one}_pet.nii" for one in patients()],
            "group": ["g1", "g2", "g3", "g4", "g5", "g6"],
            "split": ["train", "train", "train", "train", "val", "test"],
            "dx": dx or list("ababab"),
            **changes,
        }
        table(root / cls.name, columns, *zip(*columns.values(), strict=True))
        return lambda **options: Volumes(str(root / cls.name), **options)


class VolumesFolder:
    """A folder per case, and labels.csv."""

    name, plugin = "labels.csv", Volumes

    @classmethod
    def write(cls, root, ids=None, dx=None):
        touch(root, *(f"{one}/ct.nii" for one in patients()))
        ids, dx = ids or patients(), dx or list("ababab")
        table(root / cls.name, ["id", "dx"], *zip(ids, dx, strict=True))
        return lambda **options: Volumes(str(root), **options)


class AutoPETFolder:
    """The newer layout, and a table with a row per visit."""

    name, plugin = "fdg_metadata.csv", AutoPET

    @classmethod
    def write(cls, root, ids=None, dx=None):
        touch(root, *(f"imagesTr/fdg_{one}_2020_0001.nii.gz" for one in patients()))
        rows = zip(ids or patients(), ["2020"] * 6, dx or list("ababab"), strict=True)
        headings = ["Subject ID", "Study Date", "diagnosis"]
        table(root / cls.name, headings, *((f"PETCT_{one}", day, d) for one, day, d in rows))
        return lambda **options: AutoPET(str(root), **options)


class HecktorFolder:
    """One task."""

    name, plugin = HECKTOR_TABLE, Hecktor

    @classmethod
    def write(cls, root, ids=None, dx=None):
        touch(root, *(f"Task 1/{one}/{one}__CT.nii.gz" for one in patients()))
        ids, dx = ids or patients(), dx or list("ababab")
        table(root / cls.name, ["PatientID", "HPV Status"], *zip(ids, dx, strict=True))
        return lambda **options: Hecktor(str(root), **options)


SOURCES = [VolumesTable, VolumesFolder, AutoPETFolder, HecktorFolder]
JOINS = SOURCES[1:]
every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda one: one.__name__)
every_join = pytest.mark.parametrize("source", JOINS, ids=lambda one: one.__name__)


@every_source
@pytest.mark.parametrize("word", WORDS)
def test_every_word_is_as_a_blank(tmp_path, source, word):
    blank = source.write(tmp_path, dx=["a", "b", "a", "b", "", ""])()
    worded = source.write(tmp_path, dx=["a", "b", "a", "b", word, word])()
    assert worded.studies() == blank.studies()
    assert worded.labels == blank.labels
    assert worded.labels[0].classes == ("a", "b")
    (note,) = [note for note in worded.notes if note not in blank.notes]
    assert f": 2 x {word!r}. Other words are set with -o {source.plugin.__name__.lower()}" in note


@pytest.mark.parametrize("column", ["pet", "group", "split"])
@pytest.mark.parametrize("word", WORDS)
def test_unknown_scans_groups_and_splits(tmp_path, column, word):
    plain = {
        "pet": [f"{one}_pet.nii" for one in patients()],
        "group": ["g1", "g2", "g3", "g4", "g5", "g6"],
        "split": ["train"] * 4 + ["test"] * 2,
    }[column]
    found = [
        VolumesTable.write(tmp_path, **{column: [*plain[:4], text, text]})() for text in ("", word)
    ]
    assert found[0].studies() == found[1].studies()
    if column == "pet":
        assert sum("pet" in study.images for study in found[1].studies()) == 4


@every_source
def test_the_words_are_a_choice(tmp_path, source):
    opened = source.write(tmp_path, dx=["a", "b", "a", "b", "NA", "NA"])
    assert opened().labels[0].classes == ("a", "b")
    assert opened(unknown=()).labels[0].classes == ("NA", "a", "b")
    assert opened(unknown=("b",)).labels[0].classes == ("NA", "a")


@every_source
def test_classes_in_two_spellings(tmp_path, source):
    found = source.write(tmp_path, dx=["Nevus", "nevus", "nevus", "b", "b", "b"])(
        **({"labels": ("dx",)} if source.plugin is Volumes else {})
    )
    assert any(
        "1 x 'Nevus' and 2 x 'nevus' are 2 classes that differ only in case" in note
        for note in check(found).warnings
    )


@every_join
def test_ids_that_meet(tmp_path, source):
    assert not any("no match" in note for note in source.write(tmp_path)().notes)


@every_join
@pytest.mark.parametrize("kind", [*NEAR, "everything"])
def test_ids_that_do_not_meet(tmp_path, source, kind):
    off = NEAR.get(kind, lambda text: f"other{text}")
    first, *rest = patients()
    notes = [
        note
        for note in source.write(tmp_path, ids=[off(first), *rest])().notes
        if "has no match among the" in note
    ]
    assert len(notes) == 2
    assert all(note.startswith("1 of 6 ") for note in notes)
    assert all(f"differ only in {kind}." in note or kind == "everything" for note in notes)
    with pytest.raises(DataError) as error:
        source.write(tmp_path, ids=[off(one) for one in patients()])()
    said = str(error.value)
    assert said.startswith(f"{tmp_path}: none of the ")
    assert (f"differ only in {kind}." in said) == (kind != "everything")
    assert ("the first are 'otherP001é' and 'P001é'" in said) == (kind == "everything")


@every_source
def test_rows_that_are_there_twice(tmp_path, source):
    plain = source.write(tmp_path)().studies()
    path = tmp_path / source.name
    lines = path.read_text(encoding="utf-8").splitlines()
    last = lines[-1]
    path.write_text("\n".join([*lines, last]), encoding="utf-8")
    root = str(path if source is VolumesTable else tmp_path)
    found = source.plugin(root)
    assert found.studies() == plain
    said = f"1 row repeats another and counts once: row 8 of {path.name} (as row 7)."
    # A visit of autoPET has a row per series.
    assert (said in found.notes) == (source is not AutoPETFolder)
    path.write_text("\n".join([*lines, f"{last[:-1]}a"]), encoding="utf-8")
    with pytest.raises(DataError, match=r"row 8, .* is also in row 7, with other values\."):
        source.plugin(root)


def test_two_tasks_that_contradict_each_other(tmp_path):
    opened = HecktorFolder.write(tmp_path)
    other = tmp_path / "Task 2" / "HECKTOR_2025_Training_Task_2.csv"
    table(other, ["PatientID", "HPV Status"], ["P002é", "b"], ["P001é", ""])
    opened()
    table(other, ["PatientID", "HPV Status"], ["P002é", "a"])
    with pytest.raises(DataError) as error:
        opened()
    assert str(error.value) == (
        f"{other}, row 2, column 'PatientID': 'P002é' is also in {tmp_path / HECKTOR_TABLE}, row 3, "
        "with other values. Keep one HPV of a patient."
    )


def test_a_table_without_ids(tmp_path):
    opened = HecktorFolder.write(tmp_path)
    table(tmp_path / HECKTOR_TABLE, ["Patient", "HPV Status"], ["P002é", "b"])
    with pytest.raises(DataError, match="has no column 'PatientID'. Did you mean 'Patient'"):
        opened()
    opened = VolumesFolder.write(tmp_path / "v")
    table(tmp_path / "v" / "labels.csv", ["case", "dx"], ["P002é", "b"])
    with pytest.raises(DataError, match="has no column 'id'"):
        opened()


def test_a_visit_whose_date_is_in_no_row(tmp_path):
    opened = AutoPETFolder.write(tmp_path)
    touch(tmp_path, "imagesTr/fdg_P001é_2021_0001.nii.gz", "imagesTr/fdg_P002é_2021_0001.nii.gz")
    path = tmp_path / AutoPETFolder.name
    path.write_text(path.read_text(encoding="utf-8") + "PETCT_P001é,2019,b\n", encoding="utf-8")
    found = {study.id: study.labels for study in opened().studies()}
    assert "diagnosis" not in found["fdg_P001é_2021"]
    assert found["fdg_P002é_2021"] == found["fdg_P002é_2020"]
    assert opened().notes[-1] == (
        "Visits without a row of their date, whose patient has several diagnoses, so that theirs is "
        "unknown: 1."
    )


# Hidden files


def older(root):
    touch(root, *(f"{one}/2020/SUV.nii.gz" for one in patients()))
    return lambda: AutoPET(str(root))


LAYOUTS = {
    "autopet": (AutoPETFolder.write, ["imagesTr/._fdg_x_1_0000.nii.gz", "._fdg_metadata.csv"]),
    "older autopet": (older, ["._P9/2020/SUV.nii.gz", "P001é/.2/SUV.nii.gz", "._a.csv"]),
    "hecktor": (
        HecktorFolder.write,
        [
            "Task 1/P001é/._P001é__PT.nii.gz",
            "Task 1/P001é/._x__PT.nii.gz",
            ".Trash/P9/P9__CT.nii.gz",
            "Task 1/._HECKTOR_2025_Training_Task_1.csv",
            ".Trash/HECKTOR_2025_Training_Task_1.csv",
        ],
    ),
    "volumes": (
        VolumesFolder.write,
        ["._P1/ct.nii", ".DS_Store/ct.nii", "P001é/._ct.nii", "P001é/.old/ct.nii", "._labels.csv"],
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_hidden_files_are_no_scans_and_no_tables(tmp_path, layout):
    write, hidden = LAYOUTS[layout]
    plain = write(tmp_path)()
    touch(tmp_path, *hidden, ".DS_Store2", "._x")
    found = write(tmp_path)()
    assert found.studies() == plain.studies()
    assert found.notes == plain.notes


def test_a_pattern_finds_no_hidden_file(tmp_path):
    opened = VolumesFolder.write(tmp_path)
    touch(tmp_path, "P001é/._ct.nii", "P001é/.ct.nii")
    assert opened(images=("ct:*ct.nii",)).studies()[0].images["ct"].endswith("P001é/ct.nii")


def test_hidden_files_are_no_slices(series, tmp_path):
    folder = tmp_path / "ct"
    stored = np.random.default_rng(0).integers(0, 2000, (6, 6, 4))
    series(folder, stored, PatientID="Jane")
    for name in (".copy.dcm", ".Trash/copy.dcm", "._1.dcm"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(sorted(folder.glob("*.dcm"))[-1].read_bytes())
    volume, _ = open_volume(str(folder), 0)
    assert volume.shape == (6, 6, 4)
    for file in folder.glob("1*.dcm"):
        file.unlink()
    assert dicom.patient_of(folder) == ""
