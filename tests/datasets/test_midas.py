"""MRA-MIDAS: three distances, lesions without an id, odd file names, and every wrong table."""

from __future__ import annotations

import csv
import random
from collections import Counter
from pathlib import Path

import openpyxl
import pytest

from sm3kit.core.errors import DataError, OptionError
from sm3kit.data.check import check
from sm3kit.datasets.base import as_paths
from sm3kit.datasets.midas import SITES, Midas
from sm3kit.synthesis.layouts import write

TABLE = "release_midas.csv"
KINDS = ("dscope", "6in", "1ft")
Rows = list[dict[str, str]]


def photo(record: str, kind: str, **changes: str) -> dict[str, str]:
    """A row of a nevus on the cheek; its file is called after the record and the kind."""
    return {
        "midas_record_id": record,
        "midas_file_name": f"{record}-{kind}.jpg",
        "midas_iscontrol": "no",
        "midas_distance": kind,
        "midas_location": "l cheek",
        "midas_path": "benign-melanocytic nevus",
        "midas_gender": "female",
        "midas_fitzpatrick": "ii fair skin, blue eyes",
        "midas_melanoma": "yes",
        "clinical_impression_1": "7-malignant-bcc",
        "clinical_impression_2": "",
        "clinical_impression_3": "",
        "length_(mm)": "5",
        "width_(mm)": "3",
        **changes,
    }


def lesion(record: str, **changes: str) -> Rows:
    return [photo(record, kind, **changes) for kind in KINDS]


def release(folder: Path, rows: Rows, there: list[str] | None = None) -> str:
    """The folder of a table; the files are those that it names, or others."""
    folder.mkdir(exist_ok=True)
    with (folder / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    names = [row["midas_file_name"] for row in rows] if there is None else there
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    return str(folder)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("midas") / "data"
    write("midas", folder, 48, 32)
    return folder


def test_a_distance_is_a_modality_and_a_profile_a_lesion(tmp_path: Path) -> None:
    one, other = lesion("7"), lesion("7", midas_location="r cheek")
    for row in other:
        row["midas_file_name"] = f"other-{row['midas_file_name']}"
    folder = release(tmp_path, [*one, *lesion("8")[:2], *other])
    data = Midas(folder)
    assert list(data.modalities) == ["derm", "clinic15", "clinic30"]
    first, second, third = data.studies()
    assert [study.id for study in (first, second, third)] == ["7-1", "7-2", "8-1"]
    assert [study.group for study in (first, second, third)] == ["7", "7", "8"]
    assert first.images == {
        "derm": f"{tmp_path}/7-dscope.jpg",
        "clinic15": f"{tmp_path}/7-6in.jpg",
        "clinic30": f"{tmp_path}/7-1ft.jpg",
    }
    assert second.images["derm"] == f"{tmp_path}/other-7-dscope.jpg"
    assert list(third.images) == ["derm", "clinic15"]
    assert data.notes[0] == (
        "There is no lesion id: 8 rows make 3 lesions, each with the same midas_record_id, "
        "midas_iscontrol, midas_location, midas_path, clinical_impression_1, clinical_impression_2, "
        "clinical_impression_3, length_(mm), width_(mm). Of 3 that are used, 2 have derm, "
        "clinic15, clinic30."
    )
    assert data.notes[-2:] == [
        "There is no official split: split by patient, stratified on DIAG, seed 0.",
        "Licence: the data use agreement of Stanford AIMI, for non-commercial research; the images "
        "may not be passed on (https://doi.org/10.71718/15nz-jv40).",
    ]


def test_a_number_and_a_blank_more_or_less_make_no_other_lesion(tmp_path: Path) -> None:
    rows = lesion("7")
    rows[1] |= {"length_(mm)": "5.0", "midas_location": "L  cheek", "midas_record_id": "7.0"}
    (study,) = Midas(release(tmp_path, rows)).studies()
    assert len(study.images) == 3


def test_virtual_visits_are_counted_or_used(tmp_path: Path) -> None:
    rows = [*lesion("7"), photo("7", "n/a - virtual", midas_file_name="v.jpg")]
    folder = release(tmp_path, rows)
    data = Midas(folder)
    assert len(data.studies()[0].images) == len(data.modalities) == 3
    assert "Rows of virtual visits, left out (-o midas.virtual=true uses them): 1." in data.notes
    data = Midas(folder, virtual=True)
    assert list(data.modalities)[-1] == "virtual"
    assert data.studies()[0].images["virtual"] == f"{tmp_path}/v.jpg"


def test_controls_are_a_class_or_unlabelled_or_left_out(tmp_path: Path) -> None:
    """The table has an impression of them, and no pathology; if it has one, it counts."""
    rows = [*lesion("7"), *lesion("8", midas_iscontrol="yes", midas_path="")]
    rows += lesion("9", midas_iscontrol="yes")
    folder = release(tmp_path, rows)
    data = Midas(folder)
    nevus, control = (data.labels[0].classes.index(name) for name in ("NEV", "CONTROL"))
    assert [study.labels["DIAG"] for study in data.studies()] == [nevus, control, nevus]
    assert "MALIGNANT" not in data.studies()[1].labels
    assert "Rows of controls, in the class CONTROL of DIAG unless they have a pathology: 6." in (
        data.notes
    )

    kept = Midas(folder, controls="unlabelled")
    assert "CONTROL" not in kept.labels[0].classes
    assert [study.images for study in kept.studies()] == [study.images for study in data.studies()]
    assert [study.labels.get("DIAG") for study in kept.studies()] == [nevus, None, nevus]
    assert {"DIAG", "MALIGNANT"}.isdisjoint(kept.studies()[1].labels)
    assert kept.studies()[1].labels["IMPRESSION"] == data.studies()[1].labels["IMPRESSION"]
    assert "Rows of controls, without a DIAG unless they have a pathology: 6." in kept.notes

    biopsied = Midas(folder, controls="left_out")
    assert [study.id for study in biopsied.studies()] == ["7-1"]
    assert "CONTROL" not in biopsied.labels[0].classes
    assert "Rows of controls, left out: 6." in biopsied.notes


def test_two_images_of_one_distance_are_refused_or_kept(tmp_path: Path) -> None:
    folder = release(tmp_path, [*lesion("7"), photo("7", "6in", midas_file_name="again.jpg")])
    with pytest.raises(DataError) as error:
        Midas(folder)
    assert str(error.value) == (
        f"{tmp_path}/{TABLE}, row 5, column 'midas_file_name': 'again.jpg' is a second '6in' image "
        "of the lesion of row 3, or of another lesion with the same profile. This concerns 1 of 1 "
        "lesions. Use all their images with -o midas.several=true, or remove rows."
    )
    data = Midas(folder, several=True)
    assert data.studies()[0].images["clinic15"] == (
        f"{tmp_path}/7-6in.jpg",
        f"{tmp_path}/again.jpg",
    )
    assert "1 with several images of one distance" in data.notes[0]


def test_files_are_found_by_their_stem(tmp_path: Path) -> None:
    """A name as it is comes first; a file may lie in a folder below."""
    rows = [*lesion("7"), *lesion("8")]
    rows[0]["midas_file_name"] = "7-dscope.jpeg"
    rows[5]["midas_file_name"] = "nowhere.jpg"
    there = ["7-dscope.jpg", "7-6in_cropped.jpg", "images/7-1ft.JPG", "8-dscope.jpg", "8-6in.jpg"]
    data = Midas(release(tmp_path, rows, [*there, "8-6in.png", "notes.txt"]))
    assert [Path(path).name for path in data.studies()[0].images.values()] == [
        *("7-dscope.jpg", "7-6in_cropped.jpg", "7-1ft.JPG")
    ]
    assert list(data.studies()[1].images.values()) == [
        *(f"{tmp_path}/8-dscope.jpg", f"{tmp_path}/8-6in.jpg")
    ]
    assert data.notes[1:4] == [
        "Files found under another suffix or case: 2 of 6.",
        "Files found as NAME_cropped: 1 of 6.",
        f"1 of 6 rows of {TABLE} has no match among the image files, so these rows are left out: "
        "'nowhere.jpg'.",
    ]


def test_a_lesion_without_any_file_is_no_study(tmp_path: Path) -> None:
    rows = [*lesion("7"), *lesion("8")]
    data = Midas(release(tmp_path, rows, [row["midas_file_name"] for row in rows[:3]]))
    assert [study.id for study in data.studies()] == ["7-1"]
    assert check(data).ok


@pytest.mark.parametrize(
    ("path", "name", "malignant"),
    [
        ("malignant- melanoma", "MEL", "yes"),
        ("malignant- bcc", "BCC", "yes"),
        ("malignant- scc", "SCC", "yes"),
        ("malignant- sccis", "SCCIS", "yes"),
        ("malignant- ak", "AK", "yes"),
        ("malignant- other", "MAL_OTH", "yes"),
        ("benign-melanocytic nevus", "NEV", "no"),
        ("benign-seborrheic keratosis", "SK", "no"),
        ("benign-dermatofibroma", "DF", "no"),
        ("benign-hemangioma", "HEM", "no"),
        ("benign-fibrous papule", "FP", "no"),
        ("Benign - Other", "BEN_OTH", "no"),
        ("other- non-neoplastic, inflammatory, infectious", "INF", "no"),
        ("other- melanocytic lesion, possible re-excision (severe, spitz, aimp)", "MCT", None),
        ("melanocytic tumor, possible re-excision (severe, spitz, aimp)", "MCT", None),
        ("0", None, None),
        ("", None, None),
    ],
)
def test_pathologies(tmp_path: Path, path: str, name: str | None, malignant: str | None) -> None:
    data = Midas(release(tmp_path, lesion("7", midas_path=path)))
    labels = {
        label.name: label.classes[index]
        for label in data.labels
        if (index := data.studies()[0].labels.get(label.name)) is not None
    }
    assert (labels.get("DIAG"), labels.get("MALIGNANT")) == (name, malignant)
    assert labels["IMPRESSION"] == "BCC"
    assert (labels["site"], labels["fitzpatrick"], labels["sex"]) == (
        *("head_neck_face", "II", "female"),
    )


@pytest.mark.parametrize(
    ("location", "site"),
    [
        ("r dorsal hand", "hand"),
        ("back of neck", "head_neck_face"),
        ("Left lower back", "trunk"),
        ("R forearm", "upper_extremity"),
        ("l lower leg", "lower_extremity"),
        ("plantar foot, r", "foot"),
        ("r post calf", "lower_extremity"),
        ("Mons pubis", "genital"),
        ("l medial malleolus", "lower_extremity"),
        ("r 3rd digit", "hand"),
        ("2nd digit, l foot", "foot"),
        ("l pinky", "hand"),
        ("r buttox", "trunk"),
        ("l side burn", "head_neck_face"),
        ("supra pubic", "trunk"),
        ("l infra mammary", "trunk"),
        ("r melolabia fold", "head_neck_face"),
        ("l arm pit", "trunk"),
        ("both arms", "upper_extremity"),
        ("r lower extremity", "lower_extremity"),
        ("somewhere", "other"),
    ],
)
def test_sites(tmp_path: Path, location: str, site: str) -> None:
    data = Midas(release(tmp_path, lesion("7", midas_location=location)), labels=("site",))
    assert data.labels[0].classes[data.studies()[0].labels["site"]] == site
    note = "Rows whose midas_location has no known word, 'other': 3, such as 3 x 'somewhere'."
    assert (note in data.notes) == (site == "other")


def test_the_first_locations_without_a_known_word_are_named(tmp_path: Path) -> None:
    rows = [
        photo("7", kind, midas_location=place, midas_file_name=f"{place}-{kind}.jpg")
        for kind, place in (*((k, "a") for k in KINDS), ("6in", "b"), ("1ft", "b"), ("6in", "c"))
    ]
    rows += [photo("7", "6in", midas_location="d", midas_file_name="d.jpg"), *lesion("8")]
    data = Midas(release(tmp_path, rows))
    assert (
        "Rows whose midas_location has no known word, 'other': 7, such as 3 x 'a', 2 x 'b', 1 x 'c'."
        in data.notes
    )


def test_no_word_names_two_sites() -> None:
    words = [word for of_site in SITES.values() for word in of_site.split()]
    assert [word for word, count in Counter(words).items() if count > 1] == []


def test_what_says_nothing_or_contradicts_itself_is_unknown(tmp_path: Path) -> None:
    rows = lesion("7", midas_fitzpatrick="unsure")
    rows[0]["midas_gender"] = "male"
    data = Midas(release(tmp_path, rows))
    assert {"sex", "fitzpatrick"}.isdisjoint(data.studies()[0].labels)
    assert "Rows that name no fitzpatrick: 3, such as 3 x 'unsure'." in data.notes
    assert (
        "Lesions whose rows contradict each other in sex, which is unknown there: 1 (7-1)."
        in data.notes
    )


def test_labels_can_be_chosen_and_are_read_from_the_table(tmp_path: Path) -> None:
    folder = release(tmp_path, lesion("7"))
    data = Midas(folder, labels=("sex", "DIAG"))
    assert [label.name for label in data.labels] == ["DIAG", "sex"]
    assert data.label_files == [tmp_path / TABLE]
    with pytest.raises(OptionError, match=r"option 'labels': No label named 'SEX'\. Did you mean"):
        Midas(folder, labels=("SEX",))


def test_a_workbook_is_as_a_csv_file(drawn: Path, tmp_path: Path) -> None:
    """Numbers in their cells, and the headings of the release."""
    with (drawn / TABLE).open(newline="") as file:
        heading, *rows = list(csv.reader(file))
    heading = [name.replace("__mm_", "_(mm)") for name in heading]
    book = openpyxl.Workbook()
    for row in [["", *heading[1:]], *rows]:
        numbers = [float(cell) if cell.replace(".", "").isdecimal() else cell for cell in row]
        book.active.append([None if cell == "" else cell for cell in numbers])
    for file in drawn.glob("*.jpg"):
        (tmp_path / file.name).touch()
    book.save(tmp_path / "release_midas.xlsx")

    def told(folder: Path) -> list[object]:
        return [
            (study.id, sorted(study.images), study.labels, study.group, study.split)
            for study in Midas(str(folder)).studies()
        ]

    assert told(tmp_path) == told(drawn)
    (tmp_path / TABLE).write_bytes((drawn / TABLE).read_bytes())
    assert Midas(str(tmp_path)).notes[0] == (
        "release_midas.csv is read, and release_midas.xlsx is not."
    )


def test_drawn_traps(drawn: Path) -> None:
    data = Midas(str(drawn), virtual=True)
    report = check(data)
    assert report.ok
    assert not report.warnings
    notes = " ".join(data.notes)
    assert "another suffix" in notes
    assert "NAME_cropped" in notes
    assert "rows are left out" in notes
    assert sum("virtual" in study.images for study in data.studies()) == 6
    assert sum("derm" not in study.images for study in data.studies()) == 4
    assert Counter(
        len({s.split for s in data.studies() if s.group == g})
        for g in {study.group for study in data.studies()}
    ) == {1: 32}


def test_drawn_repeats(tmp_path: Path) -> None:
    write("midas-repeats", tmp_path / "data", 12, 32)
    with pytest.raises(DataError, match=r"concerns 2 of 12 lesions\."):
        Midas(str(tmp_path / "data"))
    data = Midas(str(tmp_path / "data"), several=True)
    counts = [len(as_paths(study.images["clinic15"])) for study in data.studies()]
    assert sorted(counts) == [1] * 10 + [2] * 2
    assert not check(data).shared


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_rows(
    drawn: Path, tmp_path: Path
) -> None:
    heading, *lines = (drawn / TABLE).read_text().splitlines()
    random.Random(0).shuffle(lines)
    for file in drawn.glob("*.jpg"):
        (tmp_path / file.name).touch()
    (tmp_path / TABLE).write_text("\n".join([heading, *lines]) + "\n")
    before = [(study.id, study.split) for study in Midas(str(drawn)).studies()]
    assert [(study.id, study.split) for study in Midas(str(tmp_path)).studies()] == before
    other = Midas(str(drawn), split_seed=1).studies()
    assert [study.split for study in other] != [split for _, split in before]


# What a user reads when something is wrong.


def message(folder: str) -> str:
    with pytest.raises(DataError) as error:
        Midas(folder)
    return str(error.value)


def test_no_layout(tmp_path: Path) -> None:
    assert message(str(tmp_path)) == (
        f"{tmp_path} does not have the layout of MRA-MIDAS. midas:DIR needs release_midas.csv or "
        "release_midas.xlsx with the images beside it."
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"midas_distance": "2ft"},
            "row 2, column 'midas_distance': unknown value '2ft'. Did you mean '1ft'? Known: dscope, "
            "6in, 1ft, n/a - virtual.",
        ),
        (
            {"midas_iscontrol": "maybe"},
            "row 2, column 'midas_iscontrol': unknown value 'maybe'. Known: yes, no.",
        ),
        (
            {"midas_record_id": ""},
            "row 2, column 'midas_record_id': blank. Each image needs the id of its patient.",
        ),
    ],
)
def test_wrong_cells(tmp_path: Path, change: dict[str, str], said: str) -> None:
    assert message(release(tmp_path, lesion("7", **change))) == f"{tmp_path}/{TABLE}, {said}"


def test_an_unknown_pathology(tmp_path: Path) -> None:
    said = message(release(tmp_path, lesion("7", midas_path="melanoma")))
    assert said.startswith(
        f"{tmp_path}/{TABLE}, row 2, column 'midas_path': unknown value 'melanoma'. "
        "Did you mean 'malignant-melanoma'? Known: malignant-melanoma, malignant-bcc, "
    )


def test_no_file_at_all(tmp_path: Path) -> None:
    assert message(release(tmp_path, lesion("7"), ["a.jpg"])) == (
        f"{tmp_path}/{TABLE}: none of the rows of {TABLE} matches any of the image files: the first "
        "are '7-dscope.jpg' and 'a.jpg'. Write the ids the same way on both sides."
    )


def test_a_name_that_two_files_have(tmp_path: Path) -> None:
    rows = lesion("7", midas_path="")
    said = message(release(tmp_path, rows, ["a/7-6in.jpg", "b/7-6in.jpg", "7-dscope.jpg"]))
    assert said == (
        f"{tmp_path}/{TABLE}, row 3, column 'midas_file_name': '7-6in.jpg' may be "
        f"{tmp_path}/a/7-6in.jpg or {tmp_path}/b/7-6in.jpg. Keep one."
    )


def test_only_controls(tmp_path: Path) -> None:
    folder = release(tmp_path, lesion("7", midas_iscontrol="yes", midas_path=""))
    with pytest.raises(DataError, match=r"has no row that is used: all are controls or virtual\."):
        Midas(folder, controls="left_out")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 rest", b"a,b\n1,2\n"])
def test_a_workbook_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "release_midas.xlsx").write_bytes(content)
    said = message(str(tmp_path))
    assert said.startswith(f"{tmp_path}/release_midas.xlsx cannot be read: ")
    assert said.endswith(" Copy it again.")
    assert "\n" not in said


def test_a_workbook_without_cells(tmp_path: Path) -> None:
    openpyxl.Workbook().save(tmp_path / "release_midas.xlsx")
    assert message(str(tmp_path)) == (
        f"{tmp_path}/release_midas.xlsx is empty. It should hold a row per image."
    )


@pytest.mark.parametrize(
    ("column", "label"),
    [
        ("midas_path", "DIAG"),
        ("clinical_impression_1", "IMPRESSION"),
        ("midas_location", "site"),
        ("midas_fitzpatrick", "fitzpatrick"),
        ("midas_gender", "sex"),
    ],
)
def test_a_word_for_unknown_is_as_a_blank(tmp_path: Path, column: str, label: str) -> None:
    blank, worded = (
        Midas(release(tmp_path / name, lesion("7", **{column: word})))
        for name, word in (("blank", ""), ("word", "N/A"))
    )
    assert label not in worded.studies()[0].labels
    assert [study.labels for study in worded.studies()] == [
        study.labels for study in blank.studies()
    ]
    (note,) = [note for note in worded.notes if note not in blank.notes]
    assert note == f"Treated as unknown in {TABLE}, {column}: 3 x 'N/A'."
