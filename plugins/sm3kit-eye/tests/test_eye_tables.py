"""Tables and folders of eyes as they come: unknown values, rows that do not fit, hidden files."""

import csv
import unicodedata

import openpyxl
import pytest

from sm3kit.api import UNKNOWN_WORDS, DataError
from sm3kit_eye.gamma import IMAGES, TABLE, Gamma
from sm3kit_eye.topcon_mm import TopconMM

WORDS = [*UNKNOWN_WORDS, "nan", "n/a", "NULL", "Unknown", "-1.0"]
# How the ids of a table may be off; those of the folders are P001é, P002é ...
NEAR = {
    "leading zeros": lambda text: text.replace("P00", "P"),
    "case": str.lower,
    "spaces": lambda text: text.replace("P", "P "),
    "Unicode form": lambda text: unicodedata.normalize("NFD", text),
}
PATIENTS = [f"P{number + 1:03}é" for number in range(6)]


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


class Topcon:
    """An eye of each patient, with both images."""

    name = "oct_labels.csv"
    heading = ["image", "DR", "CNV"]

    @classmethod
    def write(cls, root, ids=PATIENTS, cell=0, more=()):
        for kind in ("fundus", "oct"):
            touch(root, *(f"{kind}_images/{one}-L-1.jpg" for one in PATIENTS))
            with (root / f"{kind}_labels.csv").open("w", newline="", encoding="utf-8") as file:
                rows = [[f"{one}-L-1", place % 2, 1] for place, one in enumerate(PATIENTS)]
                if kind == "oct":
                    rows = [[f"{one}-L-1", *row[1:]] for one, row in zip(ids, rows, strict=True)]
                    rows[0][1] = cell
                    rows += [rows[place] if isinstance(place, int) else place for place in more]
                csv.writer(file).writerows([cls.heading, *rows])
        return TopconMM(str(root), labels_of="oct")

    @staticmethod
    def other(ids):
        return [f"{ids[0]}-L-1", 1, 1]


class GammaFolder:
    """A case of each patient."""

    name = TABLE
    heading = ["data", "non", "early", "mid_advanced"]

    @classmethod
    def write(cls, root, ids=PATIENTS, cell=0, more=()):
        touch(root, *(f"training/{IMAGES}/{one}/{one}.jpg" for one in PATIENTS))
        rows = [[one, 0, place % 2, 1 - place % 2] for place, one in enumerate(ids)]
        rows[0][1] = cell
        rows += [rows[place] if isinstance(place, int) else place for place in more]
        book = openpyxl.Workbook()
        for row in [cls.heading, *rows]:
            book.active.append(row)
        book.save(root / "training" / TABLE)
        return Gamma(str(root))

    @staticmethod
    def other(ids):
        return [ids[0], 1, 0, 0]


BOTH = pytest.mark.parametrize("source", [Topcon, GammaFolder], ids=lambda one: one.__name__)


@BOTH
@pytest.mark.parametrize("word", WORDS)
def test_every_word_is_as_a_blank(tmp_path, source, word):
    blank, worded = (source.write(tmp_path, cell=text) for text in ("", word))
    assert worded.studies() == blank.studies()
    assert worded.labels == blank.labels
    (note,) = [note for note in worded.notes if note not in blank.notes]
    assert (
        note
        == f"Treated as unknown in {source.name}, {source.heading[1]}: 1 x {str(word).strip()!r}."
    )


@BOTH
@pytest.mark.parametrize("cell", ["0.9", "2", "yes", 0.99])
def test_a_flag_that_is_none(tmp_path, source, cell):
    with pytest.raises(DataError) as error:
        source.write(tmp_path, cell=cell)
    assert str(error.value).endswith(
        f"{source.name}, row 2, column {source.heading[1]!r}: {str(cell)!r} is not 0, 1 or blank. "
        "Correct the cell."
    )


@BOTH
def test_rounding_is_forgiven(tmp_path, source):
    plain = source.write(tmp_path).studies()
    assert source.write(tmp_path, cell=1e-7).studies() == plain


@BOTH
@pytest.mark.parametrize("kind", [*NEAR, "everything"])
def test_ids_that_do_not_meet(tmp_path, source, kind):
    off = NEAR.get(kind, lambda text: f"other{text}")
    assert not any("no match" in note for note in source.write(tmp_path).notes)
    found = source.write(tmp_path, ids=[off(PATIENTS[0]), *PATIENTS[1:]])
    notes = [note for note in found.notes if "has no match among the" in note]
    assert notes
    assert all(note.startswith("1 of 6 ") for note in notes)
    assert all(f"differ only in {kind}." in note or kind == "everything" for note in notes)
    with pytest.raises(DataError) as error:
        source.write(tmp_path, ids=[off(one) for one in PATIENTS])
    said = str(error.value)
    assert ": none of the " in said
    assert (f"differ only in {kind}." in said) == (kind != "everything")
    assert ("the first are 'otherP001é" in said) == (kind == "everything")


@BOTH
def test_rows_that_are_there_twice(tmp_path, source):
    plain = source.write(tmp_path).studies()
    found = source.write(tmp_path, more=[0])
    assert found.studies() == plain
    assert (
        f"1 row repeats another and counts once: row 8 of {source.name} (as row 2)." in found.notes
    )
    with pytest.raises(
        DataError, match=r"row 8, .* is also in row 2, with other values\. Keep one"
    ):
        source.write(tmp_path, more=[source.other(PATIENTS)])


@BOTH
def test_hidden_files_are_no_images_and_no_cases(tmp_path, source):
    plain = source.write(tmp_path)
    touch(
        tmp_path,
        *(f"{kind}_images/{name}" for kind in ("fundus", "oct") for name in ("._a-L-1.jpg", ".x")),
        *(f"training/{IMAGES}/{name}/x.jpg" for name in ("._P001é", ".DS_Store", "P001é/._P001é")),
        f"training/{IMAGES}/P001é/._P001é.jpg",
        f"training/{IMAGES}/.P9/.P9.jpg",
        "._oct_labels.csv",
    )
    found = source.write(tmp_path)
    assert found.studies() == plain.studies()
    assert found.notes == plain.notes
