"""Mammograms: inverted files, the breast, pairs of views, labels, and every reply to a wrong table."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest

from sm3kit.api import DataError
from sm3kit.data.check import check
from sm3kit.testing.damaged_tables import BROKEN, HARMLESS, ODD, VALUES, answered, with_value
from sm3kit_volumes import examples
from sm3kit_volumes.datasets.vindr_mammo import BREASTS, FINDINGS, VinDrMammo
from sm3kit_volumes.modalities.mammogram import Mammogram

HEADS = ["study_id", "series_id", "image_id", "laterality", "view_position"]
GRADES = ["breast_birads", "breast_density", "split"]


def write(folder, images, findings=None):
    """Tables of `images` [(exam, image, side, view, BI-RADS, density, split)], and folders."""
    rows = [[exam, "1.2", image, *more] for exam, image, *more in images]
    for exam, *_ in images:
        (folder / "images" / exam).mkdir(parents=True, exist_ok=True)
    examples.write_csv(folder / BREASTS, [[*HEADS, *GRADES], *rows])
    if findings is not None:
        told = [[*row[:5], cell] for row in rows for cell in findings.get(row[2], [])]
        examples.write_csv(folder / FINDINGS, [[*HEADS, "finding_categories"], *told])
    return folder


IMAGES = [
    (exam, f"{exam}-{side}-{view}", side, view, f"BI-RADS {grade}", f"DENSITY {density}", split)
    for exam, split, density in [("a", "training", "B"), ("b", "training", "C"), ("c", "test", "B")]
    for side, grade in (("L", 1), ("R", 4))
    for view in ("CC", "MLO")
]
TOLD = {
    "a-L-CC": ["['No Finding']"],
    "a-L-MLO": ["['No Finding']"],
    "a-R-CC": ["['Mass']", "['Mass', 'Skin Retraction']"],
    "a-R-MLO": ["['No Finding']"],
    "b-L-CC": ["['No Finding']"],
}


@pytest.fixture
def small(tmp_path):
    return write(tmp_path, IMAGES, TOLD)


def of(dataset, name):
    return next(study for study in dataset.studies() if study.id == name)


def named(dataset, study):
    """{label: the name of its class}."""
    classes = {label.name: label.classes for label in dataset.labels}
    return {name: classes[name][index] for name, index in study.labels.items()}


class TestModality:
    @pytest.fixture
    def picture(self):
        """A breast of 60 x 30 in air, its tissue brightest below, and a marker in a corner."""
        values = np.zeros((100, 100), np.uint16)
        values[20:80, :30] = np.linspace(1000, 3000, 60)[:, np.newaxis]
        values[5, 95] = 3000
        return values

    def test_inverted_files_look_like_others(self, picture, tmp_path):
        modality = Mammogram(64, clip=0.0)
        plain = modality.read(examples.write_mammogram(tmp_path / "a.dicom", picture))
        other = modality.read(
            examples.write_mammogram(tmp_path / "b.dicom", picture, inverted=True)
        )
        assert np.allclose(plain, other, atol=1e-6)
        assert plain[0, 5].max() < plain[0, -5].max() <= 1

    def test_it_is_cut_to_the_breast(self, picture, tmp_path):
        path = examples.write_mammogram(tmp_path / "a.dicom", picture)
        image = Mammogram(64).read(path)
        assert image.shape == (1, 60, 60)  # Padded to a square, 15 columns of black on each side.
        assert (image[0, :, 15:45] > 0.3).all()
        assert not image[0, :, :15].any()
        assert Mammogram(64, field=0.0).read(path).shape == (1, 100, 100)

    def test_a_picture_of_one_value_is_refused(self, tmp_path):
        path = examples.write_mammogram(tmp_path / "a.dicom", np.full((40, 40), 7, np.uint16))
        with pytest.raises(DataError, match=r"is empty: all of its pixels are 7\. Leave its study"):
            Mammogram(32).read(path)

    def test_reading_says_what_changes_pixels(self):
        options = [{}, {"clip": 0.01}, {"field": 0.2}, {"reduce": False}, {"window": "header"}]
        assert len({Mammogram(64, **one).reading for one in options}) == 5
        assert Mammogram(64, flip=0.0, noise=0.0).reading == Mammogram(64).reading


# A breast and a marker, in a third of the pixels of a usual detector: 3328 x 2560.
HALF_ELLIPSE = np.hypot((np.mgrid[:1109, :853][0] - 550) / 330, np.mgrid[:1109, :853][1] / 350) < 1
MARKERS = {"above": (40, 730), "beside": (530, 730), "in a corner": (240, 250), "below": (1000, 30)}


@pytest.mark.parametrize("side", ["L", "R"])
@pytest.mark.parametrize("place", MARKERS)
def test_a_burned_in_marker_is_cut_off(tmp_path, place, side):
    """100 x 300 pixels of the detector, the size of a real "R MLO"."""
    top, left = MARKERS[place]
    values = np.where(HALF_ELLIPSE, 1500, 30).astype(np.uint16)
    values[top : top + 33, left : left + 100] = 3000
    assert not (values[HALF_ELLIPSE] == 3000).any()
    values = values if side == "L" else values[:, ::-1]
    modality = Mammogram(64, reduce=False, clip=0.0)
    image = modality.read(examples.write_mammogram(tmp_path / "a.dicom", values))[0]
    assert (image > 0.3).sum() - (image > 0.9).sum() == HALF_ELLIPSE.sum()  # None of it is lost.
    assert 659 <= len(image) <= 659 + 18  # Its height, and at most two pixels of the small copy.
    if place != "in a corner":  # Of the box around the breast.
        assert not (image > 0.9).any()


GREY = {"clip": 0.0, "field": 0.0}  # Values as they are, of the whole image.


def with_headers(path, stored, **headers):
    """A mammogram of stored values, with more headers."""
    examples.write_mammogram(path, stored.astype(np.uint16))
    one = pydicom.dcmread(path)
    for name, value in headers.items():
        kind = pydicom.datadict.dictionary_VR(name)
        one.add_new(name, "US" if kind == "US or SS" else kind, value)
    one.save_as(path)
    return str(path)


@pytest.fixture
def ramp():
    """Stored values 500 to 2983 in steps of 1 or 2, and where the last quarter of the rows is."""
    values = np.linspace(500, 2983, 1600).astype(np.int64).reshape(40, 40)
    return values, np.mgrid[:40, :40][0] >= 30


class TestPadding:
    @pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
    @pytest.mark.parametrize(
        ("padding", "limit"), [(0, None), (4095, None), (0, 40), (40, 0), (4095, 4000)]
    )
    def test_it_is_black_and_does_not_count(self, ramp, tmp_path, kind, padding, limit):
        values, padded = ramp
        headers = {"PhotometricInterpretation": kind, "PixelPaddingValue": padding}
        if limit is not None:
            headers["PixelPaddingRangeLimit"] = limit
        stored = np.where(padded, padding, values)
        stored[-1] = padding if limit is None else limit
        image = Mammogram(40, **GREY).read(with_headers(tmp_path / "a.dcm", stored, **headers))
        least, most = values[~padded].min(), values[~padded].max()
        wanted = (values - least) / (most - least)
        wanted = np.where(padded, 0, 1 - wanted if kind == "MONOCHROME1" else wanted)
        np.testing.assert_allclose(image[0], wanted, atol=1e-6)

    def test_without_its_header_a_value_is_a_value(self, ramp, tmp_path):
        values, padded = ramp
        stored = np.where(padded, 4095, values)
        image = Mammogram(40, **GREY).read(with_headers(tmp_path / "a.dcm", stored))
        assert (image[0][padded] == 1).all()

    @pytest.mark.parametrize("written", [-2000, 63536])
    def test_signed_values_may_be_written_as_unsigned(self, ramp, tmp_path, written):
        values, padded = ramp
        stored = np.where(padded, -2000, values)
        file = with_headers(
            tmp_path / "a.dcm", stored, PixelRepresentation=1, BitsStored=16, HighBit=15
        )
        one = pydicom.dcmread(file)
        one.add_new("PixelPaddingValue", "SS" if written < 0 else "US", written)
        one.save_as(file)
        image = Mammogram(40, **GREY).read(file)
        assert not image[0][padded].any()
        assert np.isclose(image[0][~padded].mean(), 0.5, atol=0.01)

    def test_a_picture_of_padding_is_refused(self, tmp_path):
        path = with_headers(tmp_path / "a.dcm", np.full((40, 40), 7), PixelPaddingValue=7)
        with pytest.raises(DataError, match=r"empty: all of its pixels are padding\. Leave its"):
            Mammogram(32).read(path)


def table(entries, first, bits):
    """A VOI lookup table."""
    one = pydicom.Dataset()
    one.LUTDescriptor = [len(entries), first, bits]
    one.add_new("LUTData", "US", list(entries))
    return [one]


class TestWindow:
    @pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
    @pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
    def test_the_first_window_of_the_header(self, ramp, tmp_path, kind, function):
        """DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3, of values after slope and intercept."""
        values, _ = ramp
        headers = {"WindowCenter": [3000, 9], "WindowWidth": [1001, 9], "RescaleSlope": 2}
        headers |= {"RescaleIntercept": -100, "PhotometricInterpretation": kind}
        headers |= {"VOILUTFunction": function} if function else {}
        path = with_headers(tmp_path / "a.dcm", values, **headers)
        x = 2 * values - 100
        wanted = {
            "SIGMOID": 1 / (1 + np.exp(-4 * (x - 3000) / 1001)),
            "LINEAR_EXACT": np.clip((x - 3000) / 1001 + 0.5, 0, 1),
        }.get(function, np.clip((x - 2999.5) / 1000 + 0.5, 0, 1))
        wanted = 1 - wanted if kind == "MONOCHROME1" else wanted
        image = Mammogram(40, window="header", field=0.0).read(path)
        np.testing.assert_allclose(image[0], wanted, atol=1e-5)

    def test_the_lookup_table_comes_first(self, ramp, tmp_path):
        values, padded = ramp
        headers = {"WindowCenter": 5, "WindowWidth": 5, "PixelPaddingValue": 4095}
        entries = [100, 1000, 4095]
        headers["VOILUTSequence"] = table(entries, 1500, 12)
        path = with_headers(tmp_path / "a.dcm", np.where(padded, 4095, values), **headers)
        wanted = np.array(entries)[np.clip(values - 1500, 0, 2)] / 4095
        image = Mammogram(40, window="header", field=0.0).read(path)
        np.testing.assert_allclose(image[0], np.where(padded, 0, wanted), atol=1e-6)

    @pytest.mark.parametrize(
        ("headers", "said"),
        [
            ({}, "has no window in its header."),
            ({"WindowCenter": 40}, "has no window in its header."),
            ({"WindowCenter": 40, "WindowWidth": 0}, "Window Width must be greater"),
            ({"VOILUTSequence": table(range(300), 0, 8)}, "8 bits has more than 256 entries."),
            ({"VOILUTSequence": [pydicom.Dataset()]}, "Cannot read "),
        ],
    )
    def test_a_header_that_does_not_do(self, ramp, tmp_path, headers, said):
        path = with_headers(tmp_path / "a.dcm", ramp[0], **headers)
        assert Mammogram(32).read(path).max() > 0.9
        with pytest.raises(DataError, match=rf"{said}.* Use the option window=own\.$"):
            Mammogram(32, window="header").read(path)


def test_a_study_is_a_breast(small):
    dataset = VinDrMammo(str(small))
    assert [study.id for study in dataset.studies()] == ["a/L", "a/R", "b/L", "b/R", "c/L", "c/R"]
    study = of(dataset, "a/R")
    assert {name: Path(path).name for name, path in study.images.items()} == {
        "cc": "a-R-CC.dicom",
        "mlo": "a-R-MLO.dicom",
    }
    assert study.group == "a"
    assert {of(dataset, f"c/{side}").split for side in "LR"} == {"test"}


def test_labels_of_a_breast(small):
    dataset = VinDrMammo(str(small))
    assert named(dataset, of(dataset, "a/R")) == {
        "BI-RADS": "4",
        "density": "B",
        "Mass": "present",
        "Skin Retraction": "present",
    }
    assert named(dataset, of(dataset, "a/L"))["Mass"] == "absent"
    # The table says nothing of the right breast of b.
    assert set(of(dataset, "b/R").labels) == {"BI-RADS", "density"}
    assert "Label 'Nipple Retraction' is left out: it has fewer than two classes." in dataset.notes
    assert {label.name: label.reported for label in dataset.labels}["Mass"] == "present"


def test_absent_means_no_finding_that_is_not_benign(small):
    told = "'absent' means that there is no non-benign finding of this kind"
    assert sum(told in note for note in VinDrMammo(str(small)).notes) == 1
    (small / FINDINGS).unlink()
    assert not any(told in note for note in VinDrMammo(str(small)).notes)


def test_the_higher_grade_of_two_counts(tmp_path):
    images = [list(one) for one in IMAGES]
    images[0][4] = "BI-RADS 5"
    dataset = VinDrMammo(str(write(tmp_path, images)))
    assert named(dataset, of(dataset, "a/L"))["BI-RADS"] == "5"
    assert any(f"There is no {FINDINGS}" in note for note in dataset.notes)


def test_exams_without_a_folder_are_left_out(small):
    (small / "images" / "b").rmdir()
    dataset = VinDrMammo(str(small))
    assert {study.group for study in dataset.studies()} == {"a", "c"}
    assert any("1 of 3 exams" in note and "they are left out" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({2: "X"}, "column 'laterality': unknown value 'X'"),
        ({3: "ML"}, "column 'view_position': unknown value 'ML'"),
        ({4: "BI-RADS 9"}, "column 'breast_birads': unknown value 'BI-RADS 9'"),
        ({5: "DENSITY E"}, "column 'breast_density': unknown value 'DENSITY E'"),
        ({6: "validation"}, "column 'split': unknown value 'validation'"),
        ({6: "test"}, "the images of one breast are in several splits, test and training"),
        ({3: "MLO"}, "exam a has a second MLO image of the side L"),
        ({1: "../x"}, "column 'image_id': '../x' is not an id"),
    ],
)
def test_wrong_cells(tmp_path, changed, said):
    images = [list(one) for one in IMAGES]
    for place, value in changed.items():
        images[0][place] = value
    with pytest.raises(DataError, match=re.escape(said)):
        VinDrMammo(str(write(tmp_path, images)))


@pytest.mark.parametrize("cell", ["Mass", "['Lump']", "[", "", "[['Mass']]", "{}"])
def test_wrong_findings(small, cell):
    write(small, IMAGES, {"a-L-CC": [cell]})
    with pytest.raises(DataError, match=r"row 2, column 'finding_categories': .* Known: Mass,"):
        VinDrMammo(str(small))


@pytest.mark.parametrize("name", [BREASTS, FINDINGS])
def test_damaged_tables(small, name):
    file = small / name
    sound = file.read_bytes()

    def opened():
        dataset = VinDrMammo(str(small))
        check(dataset)
        return dataset

    def answer(content):
        file.write_bytes(content)
        return answered(opened, small)

    studies = opened().studies()
    for damage, harm in HARMLESS.items():
        found = answer(harm(sound))
        assert not isinstance(found, str), (damage, found)
        assert found.studies() == studies, damage
    for damage, harm in BROKEN.items():
        said = answer(harm(sound))
        assert isinstance(said, str), damage
        assert name in said, damage
    for damage, harm in ODD.items():
        found = answer(harm(sound))
        assert isinstance(found, str) or found.studies(), damage
    columns = range(len(next(csv.reader(sound.decode().splitlines()))))
    for column in columns:
        for value in VALUES:
            found = answer(with_value(sound, column, value))
            assert isinstance(found, str) or found.studies(), (column, value)


def test_pairs_of_breasts_are_trained_and_evaluated(tmp_path, sm3kit):
    """Exam 0 lacks both MLO images; four exams of sixteen are tested."""
    data, run = f"vindr-mammo:{VinDrMammo.example(tmp_path / 'data')}", tmp_path / "run"
    assert "No problem found." in sm3kit("data", "check", data)
    tiny = ("--backbone", "timm/test_resnet", "--weights", "none", "--image-size", "32")
    tiny += ("--epochs", "1", "--batch-size", "8", "--workers", "0", "--stage", "mmssl")
    sm3kit("pretrain", "--data", data, *tiny, "--out", run)
    sm3kit("evaluate", run, "--protocol", "match")
    found = json.loads((run / "eval" / "match-test.json").read_text(encoding="utf-8"))
    assert found["space"]["backbone"]["cc->mlo"]["n"] == 8
