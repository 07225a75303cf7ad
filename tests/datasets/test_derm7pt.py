"""Derm7pt: layouts, row positions, grouping, and every answer to a wrong folder or table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sm3kit.core.errors import DataError
from sm3kit.datasets.derm7pt import GROUPINGS, Derm7pt
from sm3kit.synthesis.layouts import write

COLUMNS = [
    "case_num",
    *(grouping.column for grouping in GROUPINGS.values()),
    "seven_point_score",
    "sex",
    "clinic",
    "derm",
    "case_id",
]


def case(number: int, **changes: str) -> dict[str, str]:
    plain = {grouping.column: "absent" for grouping in GROUPINGS.values()}
    row = {"case_num": str(number), **plain, "diagnosis": "clark nevus", "case_id": ""}
    row |= {"clinic": f"NEL/c{number}.jpg", "derm": f"NEL/d{number}.jpg", "sex": "female"}
    return {**row, "seven_point_score": "1", **changes}


def release(
    folder: Path,
    rows: list[dict[str, str]],
    splits: dict[str, list[int | str]],
    tables: str = "meta",
) -> Path:
    """Writes the tables; no image is needed to list studies."""
    place = folder / tables
    place.mkdir(parents=True, exist_ok=True)
    with (place / "meta.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    for name in ("train", "valid", "test"):
        lines = ["indexes", *map(str, splits.get(name, []))]
        (place / f"{name}_indexes.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def three(tmp_path: Path) -> Path:
    # Case numbers run against the row positions.
    rows = [case(30), case(20, case_id="1a321"), case(10, diagnosis="melanoma (in situ)")]
    return release(tmp_path, rows, {"train": [2], "valid": [1], "test": [0]})


def test_index_tables_hold_row_positions_not_case_numbers(three: Path) -> None:
    data = Derm7pt(str(three))
    assert {study.id: study.split for study in data.studies()} == {
        "30": "test",
        "20": "val",
        "10": "train",
    }
    assert [study.id for study in data.studies("train")] == ["10"]


def test_paths_groups_and_modalities(three: Path) -> None:
    data = Derm7pt(str(three))
    first, second, _ = data.studies()
    assert first.images == {
        "derm": str(three / "images" / "NEL" / "d30.jpg"),
        "clinic": str(three / "images" / "NEL" / "c30.jpg"),
    }
    assert (first.group, second.group) == ("row 0", "1a321")
    assert list(data.modalities) == ["derm", "clinic"]
    assert data.modalities["clinic"].plugin == "photo"
    assert data.modalities["clinic"].options == {"border": 25}


def test_label_order_classes_and_reported_class(three: Path) -> None:
    labels = Derm7pt(str(three)).labels
    assert [label.name for label in labels] == [
        "DIAG",
        "PN",
        "BWV",
        "VS",
        "PIG",
        "STR",
        "DaG",
        "RS",
    ]
    assert [len(label.classes) for label in labels] == [5, 3, 2, 3, 3, 3, 3, 2]
    assert [label.reported for label in labels] == [
        "MEL",
        "ATP",
        "PRS",
        "IR",
        "IR",
        "IR",
        "IR",
        "PRS",
    ]
    assert labels[0].classes == ("BCC", "NEV", "MEL", "MISC", "SK")


@pytest.mark.parametrize(
    ("label", "strings", "index"),
    [
        ("DIAG", ["basal cell carcinoma"], 0),
        ("DIAG", ["blue nevus", "clark nevus", "combined nevus", "congenital nevus"], 1),
        ("DIAG", ["dermal nevus", "recurrent nevus", "reed or spitz nevus"], 1),
        ("DIAG", ["melanoma", "melanoma (in situ)", "melanoma (less than 0.76 mm)"], 2),
        ("DIAG", ["melanoma (0.76 to 1.5 mm)", "melanoma (more than 1.5 mm)"], 2),
        ("DIAG", ["melanoma metastasis"], 2),
        ("DIAG", ["dermatofibroma", "lentigo", "melanosis"], 3),
        ("DIAG", ["miscellaneous", "vascular lesion"], 3),
        ("DIAG", ["seborrheic keratosis"], 4),
        ("PN", ["absent"], 0),
        ("PN", ["typical"], 1),
        ("PN", ["atypical"], 2),
        ("BWV", ["present"], 1),
        ("VS", ["arborizing", "comma", "hairpin", "within regression", "wreath"], 1),
        ("VS", ["dotted", "linear irregular"], 2),
        ("PIG", ["diffuse regular", "localized regular"], 1),
        ("PIG", ["diffuse irregular", "localized irregular"], 2),
        ("STR", ["regular"], 1),
        ("STR", ["irregular"], 2),
        ("DaG", ["irregular"], 2),
        ("RS", ["blue areas", "white areas", "combinations"], 1),
    ],
)
def test_every_string_of_the_release(
    tmp_path: Path, label: str, strings: list[str], index: int
) -> None:
    column = GROUPINGS[label].column
    rows = [case(number, **{column: string}) for number, string in enumerate(strings)]
    splits: dict[str, list[int | str]] = {"train": list(range(len(rows)))}
    for name in ("valid", "test"):  # An index table needs a row.
        rows.append(case(len(rows)))
        splits[name] = [len(rows) - 1]
    studies = Derm7pt(str(release(tmp_path, rows, splits))).studies("train")
    assert [study.labels[label] for study in studies] == [index] * len(strings)


def test_twenty_diagnoses_are_known() -> None:
    assert len(GROUPINGS["DIAG"].index) == 20


def test_a_clinical_path_that_repeats_the_dermoscopic_one_is_missing(tmp_path: Path) -> None:
    rows = [case(1, clinic="NEL/d1.jpg"), case(2), case(3)]
    data = Derm7pt(str(release(tmp_path, rows, {"train": [0], "valid": [1], "test": [2]})))
    assert [sorted(study.images) for study in data.studies()] == [
        ["derm"],
        ["clinic", "derm"],
        ["clinic", "derm"],
    ]
    assert data.notes[1].startswith("1 rows have no separate clinical photo")


def test_notes_tell_the_grouping(three: Path) -> None:
    notes = Derm7pt(str(three)).notes
    assert "VS IR = dotted, linear irregular" in notes[0]
    assert notes[2].startswith("There is no patient id")
    assert len(notes) == 3


def test_rows_in_no_index_table_are_left_out_and_noted(tmp_path: Path) -> None:
    rows = [case(number) for number in range(4)]
    folder = release(tmp_path, rows, {"train": [0], "valid": [1], "test": [3]})
    data = Derm7pt(str(folder))
    assert [study.id for study in data.studies()] == ["0", "1", "3"]
    assert data.notes[-1] == (
        "1 of 4 rows of meta.csv has no match among the index tables, so these cases are left "
        "out: '2'."
    )


def test_tables_beside_images_and_odd_headings(tmp_path: Path) -> None:
    rows = [case(1), case(2), case(3)]
    folder = release(tmp_path, rows, {"train": [0], "valid": [1], "test": [2]}, tables=".")
    meta = folder / "meta.csv"
    meta.write_text(meta.read_text().replace("case_num,diagnosis", "Case_Num , DIAGNOSIS"))
    assert [study.id for study in Derm7pt(str(folder)).studies()] == ["1", "2", "3"]


@pytest.mark.parametrize("layout", ["derm7pt", "derm7pt-flat"])
def test_written_layouts_are_read(tmp_path: Path, layout: str) -> None:
    write(layout, tmp_path / "data", pairs=12, size=32)
    studies = Derm7pt(str(tmp_path / "data")).studies()
    assert len(studies) == 12
    assert all(Path(path).is_file() for study in studies for path in study.images.values())


def test_a_blank_cell_is_an_unknown_label(tmp_path: Path) -> None:
    rows = [case(1, streaks=""), case(2), case(3)]
    data = Derm7pt(str(release(tmp_path, rows, {"train": [0], "valid": [1], "test": [2]})))
    assert "STR" not in data.studies("train")[0].labels


# What a user reads when something is wrong.


def message(folder: Path) -> str:
    with pytest.raises(DataError) as error:
        Derm7pt(str(folder))
    return str(error.value)


def test_no_tables(tmp_path: Path) -> None:
    assert message(tmp_path / "nowhere") == (
        f"There is no meta.csv in {tmp_path}/nowhere or {tmp_path}/nowhere/meta. derm7pt:DIR needs "
        "a folder with images/ and meta/ (meta.csv and three index tables). "
        "Give the folder of the release."
    )
    (tmp_path / "release_v0").mkdir()
    assert message(tmp_path).endswith(f"Try derm7pt:{tmp_path}/release_v0.")


def test_no_index_table(three: Path) -> None:
    (three / "meta" / "valid_indexes.csv").unlink()
    assert message(three) == (
        f"There is no CSV file {three}/meta/valid_indexes.csv. "
        "It should hold row positions of meta.csv in a column 'indexes'."
    )


def test_unknown_string(tmp_path: Path) -> None:
    rows = [case(1), case(2, vascular_structures="doted"), case(3)]
    assert message(release(tmp_path, rows, {"train": [0], "valid": [1], "test": [2]})) == (
        f"{tmp_path}/meta/meta.csv, row 3, column 'vascular_structures': unknown value 'doted'. "
        "Did you mean 'dotted'? Known: absent, arborizing, comma, hairpin, within regression, "
        "wreath, dotted, linear irregular."
    )


def test_missing_column(three: Path) -> None:
    meta = three / "meta" / "meta.csv"
    meta.write_text(meta.read_text().replace("streaks", "streak"))
    found = message(three)
    assert found.startswith(f"{meta} has no column 'streaks'. Did you mean 'streak'? Its columns: ")


@pytest.mark.parametrize("wrong", ["3", "-1", "1.0"])
def test_wrong_row_position(tmp_path: Path, wrong: str) -> None:
    rows = [case(1), case(2), case(3)]
    folder = release(tmp_path, rows, {"train": [0], "valid": [1], "test": [wrong]})
    assert message(folder) == (
        f"{folder}/meta/test_indexes.csv, row 2, column 'indexes': {wrong!r} is not a row position; "
        "meta.csv has the positions 0 to 2."
    )


def test_row_in_two_splits(tmp_path: Path) -> None:
    rows = [case(1), case(2), case(3)]
    folder = release(tmp_path, rows, {"train": [0], "valid": [1], "test": [2, 0]})
    assert message(folder) == (
        f"{folder}/meta/test_indexes.csv, row 3, column 'indexes': '0' is also in "
        f"{folder}/meta/train_indexes.csv, row 2, with other values. "
        "Remove the position from one of the index tables."
    )


def test_a_position_twice_in_one_split_counts_once(tmp_path: Path) -> None:
    rows = [case(1), case(2), case(3)]
    data = Derm7pt(str(release(tmp_path, rows, {"train": [0, 0], "valid": [1], "test": [2]})))
    assert [study.id for study in data.studies("train")] == ["1"]
    assert data.notes[-1] == (
        "1 row repeats another and counts once: row 3 of train_indexes.csv (as row 2)."
    )


def test_case_numbers_are_unique(tmp_path: Path) -> None:
    splits: dict[str, list[int | str]] = {"train": [0], "valid": [1], "test": [2]}
    folder = release(tmp_path, [case(7), case(8), case(7)], splits)
    assert message(folder) == (
        f"{folder}/meta/meta.csv, row 4, column 'case_num': '7' is also in row 2. "
        "Each case needs its own."
    )
    release(tmp_path, [case(7), case(8), case(9, case_num="")], splits)
    assert "row 4, column 'case_num': no number. Each case needs its own." in message(folder)
