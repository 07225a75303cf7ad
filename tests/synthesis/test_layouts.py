import csv
import hashlib
import re
from collections import Counter

import cv2
import numpy as np
import pytest

from sm3kit.core.errors import DataError, OptionError, SM3Error, UnknownName
from sm3kit.synthesis import layout_manifest, layouts
from sm3kit.synthesis.layouts import LAYOUTS, write
from sm3kit.synthesis.lesion import LABELS


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def columns(path):
    return path.read_text(encoding="utf-8").splitlines()[0]


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [str(path.relative_to(folder)) for path in files]
    return names, [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_seed_gives_the_same_bytes(layout, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(layout, tmp_path / name, pairs=12, size=32, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a")[1] != digest(tmp_path / "c")[1]


def test_the_manifest_names_its_pictures(tmp_path):
    write("manifest", tmp_path / "m", pairs=30, size=48, seed=4)
    names = [name for name, _, _ in LABELS]
    assert columns(tmp_path / "m" / "manifest.csv") == ",".join(
        ["id", "split", "group", "derm", "clinic", *names]
    )
    rows = table(tmp_path / "m" / "manifest.csv")
    assert len({row["id"] for row in rows}) == 30
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    for row in rows:
        for view in ("derm", "clinic"):
            assert cv2.imread(str(tmp_path / "m" / row[view])).shape == (48, 48, 3)
        for name, classes, _ in LABELS:
            assert row[name] in classes


def test_a_lesion_keeps_its_row_however_many_there_are(tmp_path):
    write("manifest", tmp_path / "few", pairs=5, size=32)
    write("manifest", tmp_path / "more", pairs=9, size=32)
    few, more = (table(tmp_path / name / "manifest.csv") for name in ("few", "more"))
    assert few == more[:5]
    for row in few:
        one, other = (tmp_path / name / row["derm"] for name in ("few", "more"))
        assert one.read_bytes() == other.read_bytes()


def test_the_splits_are_60_20_20(tmp_path, monkeypatch):
    monkeypatch.setattr(layout_manifest, "save_picture", lambda path, picture: None)
    monkeypatch.setattr(layout_manifest, "dermoscopic", lambda one, size: None)
    monkeypatch.setattr(layout_manifest, "clinical", lambda one, size: None)
    write("manifest", tmp_path / "m", pairs=2000, size=32)
    found = Counter(row["split"] for row in table(tmp_path / "m" / "manifest.csv"))
    # Three standard errors are 66 of 2000.
    assert found["train"] == pytest.approx(1200, abs=66)
    assert found["val"] == pytest.approx(400, abs=54)


def test_missing_leaves_clinical_pictures_out(tmp_path):
    write("manifest", tmp_path / "m", pairs=40, size=32, missing=0.5)
    rows = table(tmp_path / "m" / "manifest.csv")
    without = [row for row in rows if not row["clinic"]]
    assert 10 <= len(without) <= 30
    assert len(list((tmp_path / "m" / "images").iterdir())) == 80 - len(without)


def test_the_derm7pt_release_is_laid_out_to_the_letter(tmp_path):
    write("derm7pt", tmp_path / "d", pairs=60, size=40, seed=2)
    top = {path.name for path in (tmp_path / "d").iterdir()}
    assert top == {"README.txt", "images", "meta"}
    meta = tmp_path / "d" / "meta"
    assert {path.name for path in meta.iterdir()} == {
        *("meta.csv", "train_indexes.csv", "valid_indexes.csv", "test_indexes.csv")
    }
    assert columns(meta / "meta.csv") == (
        "case_num,diagnosis,seven_point_score,pigment_network,streaks,pigmentation,"
        "regression_structures,dots_and_globules,blue_whitish_veil,vascular_structures,"
        "level_of_diagnostic_difficulty,elevation,location,sex,management,clinic,derm,case_id,"
        "notes"
    )
    rows = table(meta / "meta.csv")
    assert [row["case_num"] for row in rows] == [str(number) for number in range(1, 61)]
    assert sum(row["clinic"] == row["derm"] for row in rows) == 2
    named = {row[view] for row in rows for view in ("clinic", "derm")}
    images = tmp_path / "d" / "images"
    assert named == {str(path.relative_to(images)) for path in images.rglob("*.*")}
    assert len({path.split("/")[0] for path in named}) == 34
    assert {path.rpartition(".")[2] for path in named} == {"jpg", "JPG"}


def test_the_words_of_derm7pt_are_exact(tmp_path):
    write("derm7pt", tmp_path / "d", pairs=250, size=32, seed=1)
    rows = table(tmp_path / "d" / "meta" / "meta.csv")
    present_or_not = {"absent", "present"}
    regular = {"absent", "regular", "irregular"}
    known = {
        "pigment_network": {"absent", "typical", "atypical"},
        "streaks": regular,
        "dots_and_globules": regular,
        "blue_whitish_veil": present_or_not,
        "regression_structures": {"absent", "blue areas", "white areas", "combinations"},
    }
    for column, words in known.items():
        assert {row[column] for row in rows} == words
    # Some forms are too rare to come up each time.
    assert {row["pigmentation"] for row in rows} <= {
        *("absent", "diffuse regular", "localized regular"),
        *("diffuse irregular", "localized irregular"),
    }
    assert {row["vascular_structures"] for row in rows} <= {
        *("absent", "arborizing", "comma", "hairpin", "within regression", "wreath"),
        *("dotted", "linear irregular"),
    }
    assert {"clark nevus", "melanoma (in situ)"} <= {row["diagnosis"] for row in rows}
    assert min(int(row["seven_point_score"]) for row in rows) >= 0
    assert max(int(row["seven_point_score"]) for row in rows) <= 10


def test_the_derm7pt_index_files_count_as_in_the_release(tmp_path, monkeypatch):
    monkeypatch.setattr(layouts.layout_derm7pt, "save_picture", lambda path, picture: None)
    blank = np.zeros((8, 8, 3), np.uint8)
    for view in ("dermoscopic", "clinical"):
        monkeypatch.setattr(layouts.layout_derm7pt, view, lambda one, size: blank)
    write("derm7pt-flat", tmp_path / "d", pairs=1011, size=32)
    found = {
        split: [int(row["indexes"]) for row in table(tmp_path / "d" / f"{split}_indexes.csv")]
        for split in ("train", "valid", "test")
    }
    assert {split: len(rows) for split, rows in found.items()} == {
        "train": 413,
        "valid": 203,
        "test": 395,
    }
    assert sorted(sum(found.values(), [])) == list(range(1011))
    rows = table(tmp_path / "d" / "meta.csv")
    assert sum(row["clinic"] == row["derm"] for row in rows) == 9
    names = {row["derm"] for row in rows} | {row["clinic"] for row in rows}
    assert len(names) == 2013


def test_derm7pt_pictures_have_a_dark_frame(tmp_path):
    write("derm7pt", tmp_path / "d", pairs=12, size=64)
    for path in (tmp_path / "d" / "images").rglob("*.jpg"):
        picture = cv2.imread(str(path))
        # JPEG rings a little beside the edge.
        assert picture[:16].max() < 20
        assert picture[32:-32, 32:-32].mean() > 40
        assert 64 + 40 <= len(picture) <= 64 + 60


def test_the_milk10k_challenge_is_laid_out_to_the_letter(tmp_path):
    write("milk10k", tmp_path / "m", pairs=24, size=64, seed=3)
    assert {path.name for path in (tmp_path / "m").iterdir()} == {
        *("MILK10k_Training_Input", "MILK10k_Training_Metadata.csv"),
        *("MILK10k_Training_GroundTruth.csv", "MILK10k_Training_Supplement.csv"),
        *("MILK10k_Test_Input", "MILK10k_Test_Metadata.csv"),
    }
    metadata = tmp_path / "m" / "MILK10k_Training_Metadata.csv"
    assert columns(metadata) == (
        "lesion_id,image_type,isic_id,attribution,copyright_license,image_manipulation,"
        "age_approx,sex,skin_tone_class,site,MONET_ulceration_crust,MONET_hair,"
        "MONET_vasculature_vessels,MONET_erythema,MONET_pigmented,"
        "MONET_gel_water_drop_fluid_dermoscopy_liquid,MONET_skin_markings_pen_ink_purple_pen"
    )
    rows = table(metadata)
    kinds = {}
    for row in rows:
        assert re.fullmatch(r"IL_\d{7}", row["lesion_id"])
        assert re.fullmatch(r"ISIC_\d{7}", row["isic_id"])
        kinds.setdefault(row["lesion_id"], []).append(row["image_type"])
        folder = tmp_path / "m" / "MILK10k_Training_Input" / row["lesion_id"]
        assert cv2.imread(str(folder / f"{row['isic_id']}.jpg")).shape == (48, 64, 3)
        assert 0 <= int(row["skin_tone_class"]) <= 5
    assert len(kinds) == 24
    assert all(sorted(both) == ["clinical: close-up", "dermoscopic"] for both in kinds.values())
    truth_path = tmp_path / "m" / "MILK10k_Training_GroundTruth.csv"
    truth = table(truth_path)
    assert columns(truth_path) == (
        "lesion_id,AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC"
    )
    for row in truth:
        assert sorted(list(row.values())[1:]) == ["0.0"] * 10 + ["1.0"]
    assert {row["lesion_id"] for row in truth} == set(kinds)
    tests = {row["lesion_id"] for row in table(tmp_path / "m" / "MILK10k_Test_Metadata.csv")}
    assert len(tests) == 2
    assert not tests & set(kinds)


def test_the_other_layouts_of_milk10k(tmp_path):
    write("milk10k-archive", tmp_path / "a", pairs=8, size=32)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        *("images", "metadata.csv", "attribution.txt", "licenses", "supplements")
    }
    rows = table(tmp_path / "a" / "metadata.csv")
    assert columns(tmp_path / "a" / "metadata.csv") == (
        "isic_id,attribution,copyright_license,age_approx,anatom_site_general,"
        "anatom_site_special,concomitant_biopsy,diagnosis_1,diagnosis_2,diagnosis_3,"
        "diagnosis_4,diagnosis_confirm_type,image_manipulation,image_type,lesion_id,"
        "melanocytic,sex"
    )
    pictures = {path.stem for path in (tmp_path / "a" / "images").iterdir()}
    assert pictures == {row["isic_id"] for row in rows}
    assert {row["diagnosis_1"] for row in rows} <= {"Benign", "Malignant", "Indeterminate"}
    assert {path.name for path in (tmp_path / "a" / "supplements").iterdir()} == {
        *("training_gt.csv", "training_input.csv", "training_supp.csv")
    }
    write("milk10k-flat", tmp_path / "f", pairs=8, size=32)
    rows = table(tmp_path / "f" / "MILK10k_Training_Metadata.csv")
    pictures = {path.stem for path in (tmp_path / "f" / "images_train").iterdir()}
    assert pictures == {row["isic_id"] for row in rows}


def test_mra_midas_is_laid_out_to_the_letter(tmp_path):
    """Three pictures of a lesion flat beside the table, and what stumbles readers of the release."""
    write("midas", tmp_path / "m", pairs=24, size=32)
    assert columns(tmp_path / "m" / "release_midas.csv") == (
        "_unnamed_var,midas_record_id,midas_file_name,midas_iscontrol,midas_distance,"
        "midas_location,midas_path,midas_pathreport,midas_gender,midas_age,midas_fitzpatrick,"
        "midas_melanoma,midas_ethnicity,midas_race,clinical_impression_1,clinical_impression_2,"
        "clinical_impression_3,length__mm_,width__mm_"
    )
    rows = table(tmp_path / "m" / "release_midas.csv")
    kinds = Counter(row["midas_distance"] for row in rows)
    assert kinds == {"dscope": 22, "6in": 24, "1ft": 24, "n/a - virtual": 3}
    assert len({row["midas_record_id"] for row in rows}) == 16
    controls = [row for row in rows if row["midas_iscontrol"] == "yes"]
    assert {row["midas_path"] for row in controls} == {""}
    assert all("benign" in row["clinical_impression_1"] for row in controls)
    there = {path.name for path in (tmp_path / "m").glob("*.jpg")}
    named = {row["midas_file_name"] for row in rows}
    assert sum(name.endswith(".jpeg") for name in named) == 9
    assert sum(name.endswith("_cropped.jpg") for name in there - named) == 1
    stems = {name.partition(".")[0].removesuffix("_cropped") for name in there}
    assert sum(name.partition(".")[0] not in stems for name in named) == 2
    write("midas-repeats", tmp_path / "r", pairs=24, size=32)
    assert len(table(tmp_path / "r" / "release_midas.csv")) == len(rows) + 4


def test_a_collection_of_the_isic_archive_is_laid_out_to_the_letter(tmp_path):
    write("isic", tmp_path / "i", pairs=30, size=32)
    assert columns(tmp_path / "i" / "metadata.csv") == (
        "isic_id,attribution,copyright_license,age_approx,anatom_site_general,concomitant_biopsy,"
        "diagnosis_1,diagnosis_2,diagnosis_3,diagnosis_confirm_type,fitzpatrick_skin_type,"
        "image_type,lesion_id,melanocytic,patient_id,sex"
    )
    rows = table(tmp_path / "i" / "metadata.csv")
    assert {path.stem for path in (tmp_path / "i").glob("*.jpg")} == {
        row["isic_id"] for row in rows
    }
    assert {row["image_type"] for row in rows} == {
        *("dermoscopic", "clinical: close-up", "clinical: overview")
    }
    of_lesion = {}
    for row in rows:
        of_lesion.setdefault(row["lesion_id"], []).append(row["image_type"])
    assert len(of_lesion.pop("")) > 2
    counts = Counter(tuple(sorted(kinds)) for kinds in of_lesion.values())
    assert counts["dermoscopic",] > 0 < counts["clinical: close-up",]
    assert counts["clinical: close-up", "dermoscopic", "dermoscopic"] > 0
    assert any(not row["patient_id"] for row in rows)


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("keep")
    with pytest.raises(DataError) as error:
        write("manifest", tmp_path / "taken", pairs=2, size=32)
    assert str(error.value) == (
        f"{tmp_path / 'taken'} already exists and is not an empty folder. "
        "Choose another folder, or delete it first."
    )
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SM3Error) as error:
        write("manifest", tmp_path / "file" / "m", pairs=2, size=32)
    assert str(error.value) == (
        f"Cannot write {tmp_path / 'file' / 'm'}: Not a directory. "
        "Free some disk space, or choose another folder."
    )


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    write("manifest", tmp_path / "empty", pairs=2, size=32)
    assert (tmp_path / "empty" / "manifest.csv").exists()


def test_a_stopped_write_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(layout_manifest, "clinical", stop)
    with pytest.raises(KeyboardInterrupt):
        write("manifest", tmp_path / "m", pairs=2, size=32)
    assert list(tmp_path.iterdir()) == []


def test_two_writers_do_not_mix(tmp_path, monkeypatch):
    draw = layout_manifest.clinical

    def other_first(one, size):
        monkeypatch.setattr(layout_manifest, "clinical", draw)
        write("manifest", tmp_path / "m", pairs=3, size=32)
        return draw(one, size)

    monkeypatch.setattr(layout_manifest, "clinical", other_first)
    with pytest.raises(DataError, match="already exists"):
        write("manifest", tmp_path / "m", pairs=2, size=32)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert len(table(tmp_path / "m" / "manifest.csv")) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": 0}, "option 'pairs' must be a whole number from 1 to 1000000, not 0."),
        ({"size": 16}, "option 'size' must be a whole number from 32 to 8192, not 16."),
        ({"seed": -1}, "option 'seed' must be a whole number from 0 to 4294967295, not -1."),
        ({"missing": 1.5}, "option 'missing' must be a number from 0 to 1, not 1.5."),
    ],
)
def test_numbers_out_of_range_are_refused(options, message, tmp_path):
    with pytest.raises(OptionError) as error:
        write("manifest", tmp_path / "m", **{"pairs": 2, "size": 32, **options})
    assert str(error.value) == f"The synthetic data: {message}"
    assert list(tmp_path.iterdir()) == []


def test_only_the_manifest_has_missing_pictures(tmp_path):
    with pytest.raises(DataError, match=r"not missing=0\.5\. Leave missing out, or choose"):
        write("derm7pt", tmp_path / "d", pairs=2, size=32, missing=0.5)


def test_an_unknown_layout_offers_a_near_one(tmp_path):
    with pytest.raises(UnknownName, match="No layout named 'milk10'. Did you mean 'milk10k'"):
        write("milk10", tmp_path / "m", pairs=2)
