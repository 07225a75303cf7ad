"""MILK10k: three layouts, labels, a seeded split, and every answer to a wrong table."""

from __future__ import annotations

import csv
import math
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm3kit.core.errors import DataError, OptionError
from sm3kit.datasets.milk10k import CONCEPTS, DIAGNOSIS, Milk10k
from sm3kit.synthesis.layouts import write

# Beside the checkout, or where SM3KIT_TEST_DATA says.
BESIDE = Path(__file__).parents[2].parent / "shared"
SAMPLE = Path(os.environ.get("SM3KIT_TEST_DATA") or BESIDE) / "milk10k-600"
METADATA = "MILK10k_Training_Metadata.csv"
TRUTH = "MILK10k_Training_GroundTruth.csv"
INPUT = "MILK10k_Training_Input"


def table(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def photos(lesion: str, **changes: str) -> list[dict[str, str]]:
    """The two rows of a lesion, clinical first as often as not."""
    kinds = [("clinical: close-up", "c", "0.1"), ("dermoscopic", "d", "0.9")]
    rows = [
        {
            "lesion_id": lesion,
            "image_type": kind,
            "isic_id": f"{letter}{lesion}",
            "sex": "female",
            "skin_tone_class": "3",
            "site": "trunk",
            **dict.fromkeys(CONCEPTS.values(), score),
            **changes,
        }
        for kind, letter, score in kinds
    ]
    return rows if int(lesion) % 2 else rows[::-1]


def truth(lesion: str, *names: str) -> dict[str, str]:
    hot = {name: "1.0" if name in names else "0.0" for name in DIAGNOSIS.classes}
    return {"lesion_id": lesion, **hot}


def challenge(folder: Path, metadata: list[dict[str, str]], truths: list[dict[str, str]]) -> Path:
    (folder / INPUT).mkdir(exist_ok=True)
    table(folder / METADATA, metadata)
    if truths:
        table(folder / TRUTH, truths)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    names = ["BCC"] * 12 + ["MEL"] * 5 + ["MAL_OTH"] * 4 + ["DF"]
    lesions = [str(number) for number in range(len(names))]
    return challenge(
        tmp_path,
        [row for lesion in lesions for row in photos(lesion)],
        [truth(lesion, name) for lesion, name in zip(lesions, names, strict=True)],
    )


def test_modalities_go_by_image_type_not_by_order(small: Path) -> None:
    for study in Milk10k(str(small)).studies():
        folder = small / INPUT / study.id
        assert study.images == {
            "derm": str(folder / f"d{study.id}.jpg"),
            "clinic": str(folder / f"c{study.id}.jpg"),
        }
        assert study.group == study.id


def test_concept_scores_are_offered_as_log_odds_of_the_dermoscopic_image(tmp_path: Path) -> None:
    """Scores of 0.9, or log 9; a blank is not offered, and 0 and 1 stay finite."""
    rows = [row for lesion in map(str, range(22)) for row in photos(lesion)]
    first, second, third = (row for row in rows if row["isic_id"] in ("d0", "d1", "d2"))
    hair = CONCEPTS["MONET_hair"]
    first[hair], second[hair], third[hair] = "", "0", "1"
    data = Milk10k(str(challenge(tmp_path, rows, [])))
    offered = data.weak_scores()
    assert list(offered) == list(CONCEPTS)
    assert all(weak.makes_label for weak in offered.values())
    assert offered["MONET_vessels"].classes == ("absent", "present")
    assert offered["MONET_vessels"].scores["3"] == pytest.approx((0.0, math.log(9)))
    assert "0" not in offered["MONET_hair"].scores
    odds = [offered["MONET_hair"].scores[lesion][1] for lesion in ("1", "2")]
    assert odds == pytest.approx([-odds[1], odds[1]])
    assert 10 < odds[1] < 20


def test_labels_are_read_from_these_files(small: Path) -> None:
    files = Milk10k(str(small)).label_files
    assert [Path(file).name for file in files] == [METADATA, TRUTH]


def test_labels(small: Path) -> None:
    data = Milk10k(str(small))
    assert [label.name for label in data.labels] == [
        *("DIAG", "skin_tone_class", "site", "sex"),
        *CONCEPTS,
    ]
    assert data.labels[0].reported == "MEL"
    assert len(data.labels[0].classes) == 11
    study = next(study for study in data.studies() if study.id == "0")
    # The score of the dermoscopic image is 0.9, that of the clinical one 0.1.
    assert study.labels == {
        "DIAG": 1,
        "skin_tone_class": 3,
        "site": 5,
        "sex": 0,
        **dict.fromkeys(CONCEPTS, 1),
    }
    assert "machine-made scores of the dermoscopic image, present from 0.5 on" in data.notes[1]


def test_the_threshold_is_an_option(small: Path) -> None:
    assert Milk10k(str(small), monet_threshold=0.95).studies()[0].labels["MONET_hair"] == 0


def test_labels_can_be_chosen(small: Path) -> None:
    data = Milk10k(str(small), labels=("MONET_hair", "DIAG"))
    assert [label.name for label in data.labels] == ["DIAG", "MONET_hair"]
    assert set(data.studies()[0].labels) == {"DIAG", "MONET_hair"}
    with pytest.raises(OptionError) as error:
        Milk10k(str(small), labels=("MONET_hairs",))
    found = str(error.value)
    assert found.startswith(
        "The dataset 'milk10k': option 'labels': No label named 'MONET_hairs'. "
    )
    assert "Known: DIAG, MONET_erythema, MONET_gel, MONET_hair, " in found


def test_a_class_with_four_lesions_is_in_every_split(small: Path) -> None:
    counts = Counter(
        (DIAGNOSIS.classes[study.labels["DIAG"]], study.split)
        for study in Milk10k(str(small)).studies()
    )
    assert [counts["MAL_OTH", split] for split in ("train", "val", "test")] == [2, 1, 1]
    assert [counts["BCC", split] for split in ("train", "val", "test")] == [8, 2, 2]
    assert counts["DF", "train"] == 1  # The only one is for training.


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_rows(small: Path) -> None:
    before = Milk10k(str(small)).studies()
    for name in (METADATA, TRUTH):
        heading, *lines = (small / name).read_text().splitlines()
        random.Random(0).shuffle(lines)
        (small / name).write_text("\n".join([heading, *lines]) + "\n")
    assert Milk10k(str(small)).studies() == before
    other = Milk10k(str(small), split_seed=1).studies()
    assert [study.split for study in other] != [study.split for study in before]


def test_shares_of_the_split(small: Path) -> None:
    assert not Milk10k(str(small), val=0.0).studies("val")
    with pytest.raises(OptionError, match=r"The shares val=0.6 and test=0.5 must be 0 or more"):
        Milk10k(str(small), val=0.6, test=0.5)


def test_lesions_without_ground_truth_have_an_unknown_diagnosis(small: Path) -> None:
    lines = (small / TRUTH).read_text().splitlines()
    # One lesion is not in the table, one has no 1.
    (small / TRUTH).write_text("\n".join([*lines[:-2], lines[-2].replace("1.0", "0.0")]) + "\n")
    data = Milk10k(str(small))
    assert sum("DIAG" not in study.labels for study in data.studies()) == 2
    assert data.notes[-2:] == [
        f"1 of 22 lesions with images has no match among the rows of {TRUTH}, so their DIAG is "
        "unknown: '21'.",
        f"Rows of {TRUTH} without a 1, whose DIAG is unknown: 1.",
    ]
    (small / TRUTH).unlink()
    data = Milk10k(str(small))
    assert all("DIAG" not in study.labels for study in data.studies())
    assert data.notes[-1] == f"There is no {TRUTH}: the DIAG of all lesions is unknown."


def test_blank_cells_and_a_missing_image_are_unknown(tmp_path: Path) -> None:
    rows = [*photos("1", site="", skin_tone_class="3.0", sex="nan"), photos("3")[0]]
    blank, lone = Milk10k(str(challenge(tmp_path, rows, [truth("1", "NV")]))).studies()
    assert {"site", "sex"}.isdisjoint(blank.labels)
    assert blank.labels["skin_tone_class"] == 3
    assert list(lone.images) == ["clinic"]
    assert set(lone.labels) == {"skin_tone_class", "site", "sex"}


def test_archive_has_diagnosis_1_and_needs_no_supplement(tmp_path: Path) -> None:
    keys = ("lesion_id", "image_type", "isic_id", "sex")
    rows = [{key: row[key] for key in keys} for row in (*photos("1"), *photos("2"))]
    table(tmp_path / "metadata.csv", [{**row, "diagnosis_1": "Malignant"} for row in rows])
    data = Milk10k(str(tmp_path))
    assert [label.name for label in data.labels] == ["DIAG", "diagnosis_1", "sex"]
    assert data.labels[1].reported == "Malignant"
    assert data.studies()[0].labels == {"diagnosis_1": 2, "sex": 0}
    assert data.studies()[0].images["derm"] == str(tmp_path / "images" / "d1.jpg")
    assert data.notes[1].startswith("These labels have no column and are left out: skin_tone_class")


@pytest.mark.parametrize("layout", ["milk10k", "milk10k-archive", "milk10k-flat"])
def test_written_layouts_are_read(tmp_path: Path, layout: str) -> None:
    write(layout, tmp_path / "data", pairs=5, size=32)
    data = Milk10k(str(tmp_path / "data"))
    assert len(data.studies()) == 5
    assert len(data.labels) == (12 if layout == "milk10k-archive" else 11)
    for study in data.studies():
        assert sorted(study.images) == ["clinic", "derm"]
        assert all(Path(path).is_file() for path in study.images.values())


@pytest.mark.parametrize(
    ("layout", "images"), [("milk10k", INPUT), ("milk10k-flat", "images_train")]
)
def test_the_folder_of_the_images_will_do(tmp_path: Path, layout: str, images: str) -> None:
    write(layout, tmp_path / "data", pairs=3, size=32)
    inner, outer = Milk10k(str(tmp_path / "data" / images)), Milk10k(str(tmp_path / "data"))
    assert inner.studies() == outer.studies()


def test_flat_images_beside_the_tables(tmp_path: Path) -> None:
    table(tmp_path / "images_train" / METADATA, photos("1"))
    study = Milk10k(str(tmp_path / "images_train")).studies()[0]
    assert study.images["derm"] == str(tmp_path / "images_train" / "d1.jpg")


@pytest.mark.parametrize("layout", ["milk10k", "milk10k-archive", "milk10k-flat"])
def test_images_may_have_another_suffix_or_case(tmp_path: Path, layout: str) -> None:
    """Whatever is missing keeps its usual path."""
    folder = tmp_path / "data"
    write(layout, folder, pairs=5, size=32)
    before = Milk10k(str(folder))
    paths = [Path(path) for study in before.studies() for path in study.images.values()]
    expected = [path.with_suffix((".jpg", ".JPG", ".png")[n % 3]) for n, path in enumerate(paths)]
    for old, new in zip(paths, expected, strict=True):
        old.rename(new)
    expected[1].unlink()
    expected[1] = paths[1]
    after = Milk10k(str(folder))
    assert [path for study in after.studies() for path in study.images.values()] == [
        *map(str, expected)
    ]
    assert [note for note in after.notes if note not in before.notes] == [
        "Files found under another suffix or case: 5 of 10."
    ]


@pytest.mark.parametrize(("layout", "folders"), [("milk10k", 5), ("milk10k-flat", 1)])
def test_each_folder_of_images_is_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, folders: int
) -> None:
    write(layout, tmp_path / "data", pairs=5, size=32)
    listed = []
    list_folder = Path.iterdir

    def count(folder: Path) -> Iterator[Path]:
        listed.append(folder)
        return list_folder(folder)

    monkeypatch.setattr(Path, "iterdir", count)
    monkeypatch.delattr(Path, "glob")
    Milk10k(str(tmp_path / "data"))
    assert len(listed) == len(set(listed)) == folders


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample of 605 real lesions is not here")
def test_real_lesions() -> None:
    data = Milk10k(str(SAMPLE))
    studies = data.studies()
    counts = Counter(DIAGNOSIS.classes[study.labels["DIAG"]] for study in studies)
    assert counts == {
        "BCC": 289,
        "NV": 85,
        "BKL": 62,
        "SCCKA": 54,
        "MEL": 52,
        "AKIEC": 35,
        "BEN_OTH": 6,
        "DF": 6,
        "INF": 6,
        "VASC": 6,
        "MAL_OTH": 4,
    }
    assert Counter(study.split for study in studies) == {"train": 394, "val": 91, "test": 120}
    seen = {(DIAGNOSIS.classes[study.labels["DIAG"]], study.split) for study in studies}
    assert len(seen) == 33
    assert all(Path(path).is_file() for study in studies for path in study.images.values())


# What a user reads when something is wrong.


def message(folder: Path) -> str:
    with pytest.raises(DataError) as error:
        Milk10k(str(folder))
    return str(error.value)


def test_no_layout(tmp_path: Path) -> None:
    assert message(tmp_path) == (
        f"{tmp_path} does not have the layout of MILK10k. milk10k:DIR needs MILK10k_Training_Metadata.csv and "
        "MILK10k_Training_GroundTruth.csv with MILK10k_Training_Input/ or images_train/ "
        "(challenge), or metadata.csv with images/ and supplements/ (ISIC Archive)."
    )


def test_unknown_image_type(tmp_path: Path) -> None:
    rows = photos("1")
    rows[0]["image_type"] = "clinical: overview"
    assert message(challenge(tmp_path, rows, [])) == (
        f"{tmp_path}/{METADATA}, row 2, column 'image_type': unknown value 'clinical: overview'. "
        "Did you mean 'clinical: close-up'? Known: dermoscopic, clinical: close-up."
    )


def test_two_images_of_one_type(tmp_path: Path) -> None:
    rows = photos("1")
    rows.append({**rows[0], "isic_id": "again"})
    assert message(challenge(tmp_path, rows, [])) == (
        f"{tmp_path}/{METADATA}, row 4, column 'isic_id': 'again' is a second 'clinical: close-up' "
        "image of lesion 1, after 'c1' in row 2. Keep one of them."
    )


def test_no_id(tmp_path: Path) -> None:
    rows = photos("1")
    rows[1]["lesion_id"] = ""
    assert message(challenge(tmp_path, rows, [])) == (
        f"{tmp_path}/{METADATA}, row 3, column 'lesion_id': no id. Each image needs one."
    )


def test_several_diagnoses(tmp_path: Path) -> None:
    assert message(challenge(tmp_path, photos("1"), [truth("1", "NV", "MEL")])) == (
        f"{tmp_path}/{TRUTH}, row 2 has a 1 in several columns, MEL and NV. Keep one."
    )


def test_unknown_category(tmp_path: Path) -> None:
    assert message(challenge(tmp_path, photos("1", site="trunc"), [])) == (
        f"{tmp_path}/{METADATA}, row 2, column 'site': unknown value 'trunc'. Did you mean 'trunk'? "
        "Known: foot, genital, hand, head_neck_face, lower_extremity, trunk, upper_extremity."
    )


def test_a_score_that_is_no_number(tmp_path: Path) -> None:
    assert message(challenge(tmp_path, photos("1", MONET_hair="much"), [])) == (
        f"{tmp_path}/{METADATA}, row 2, column 'MONET_hair': 'much' is not a number. "
        "Write one, such as 0.5."
    )


def test_missing_column(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "isic_id"} for row in photos("1")]
    found = message(challenge(tmp_path, rows, []))
    assert found.startswith(f"{tmp_path}/{METADATA} has no column 'isic_id'. ")
    assert "Its columns: lesion_id, image_type, sex" in found
