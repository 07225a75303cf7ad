"""Numbers that were worked out by hand: windows, SUV, z-scores, and views that respect physics."""

import math

import numpy as np
import pytest
import torch
from pydicom.dataset import Dataset

from sm3kit.api import DataError, OptionError
from sm3kit_volumes.field import bias_field
from sm3kit_volumes.modalities.ct import CT
from sm3kit_volumes.modalities.mr import MR
from sm3kit_volumes.modalities.pet import PET
from sm3kit_volumes.suv import suv_factor
from sm3kit_volumes.windows import PRESETS, Window, window


def header(values):
    one = Dataset()
    for name, value in values.items():
        setattr(one, name, value)
    return one


# CT


@pytest.mark.parametrize(
    ("name", "hounsfield", "grey"),
    [
        ("lung", [-1350, -600, 150, -2000, 3000], [0, 0.5, 1, 0, 1]),  # -1350 to 150.
        ("soft", [-150, 50, 250, -50], [0, 0.5, 1, 0.25]),
        ("bone", [-500, 400, 1300], [0, 0.5, 1]),
        ("brain", [0, 40, 80, 20], [0, 0.5, 1, 0.25]),
        ("liver", [-45, 30, 105], [0, 0.5, 1]),
        ("mediastinum", [-125, 50, 225], [0, 0.5, 1]),
        ("-100,400", [-300, -100, 100, 0], [0, 0.5, 1, 0.75]),
    ],
)
def test_windows(name, hounsfield, grey):
    found = window(name).apply(np.array(hounsfield, np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, grey, atol=1e-6)


def test_the_window_where_none_is_chosen():
    assert CT(32).window == CT(32, policy="mip", projection="max").window == window("soft")
    assert CT(32, policy="mip").window == window("radiograph")
    assert CT(32, policy="mip", window="bone").window == window("bone")


def test_a_window_of_two_numbers():
    assert CT(32, window=(40, 80)).window == window("40,80") == Window(40, 80) == window("brain")


@pytest.mark.parametrize("text", ["lungs", "1,2,3", "40,0", "40,-80", "40", (1, 2, 3)])
def test_windows_that_are_none(text):
    with pytest.raises(
        OptionError, match="must be a name or CENTRE,WIDTH in HU.*Known: abdomen, b"
    ):
        CT(32, window=text)


def test_a_window_is_jittered_within_its_width():
    rng = np.random.default_rng(0)
    drawn = [Window(50, 400).jittered(0.1, rng) for _ in range(500)]
    centres, widths = [w.centre for w in drawn], [w.width for w in drawn]
    assert 10 <= min(centres) < 12 and 88 < max(centres) <= 90
    assert 360 <= min(widths) < 362 and 438 < max(widths) <= 440
    assert Window(50, 400).jittered(0, rng) == Window(50, 400)


def test_a_view_of_a_ct_is_its_window(nifti):
    body = np.full((8, 8, 3), -1000, np.int16)
    body[:, :, 1] = 50
    body[0, 0] = -1000
    ct = CT(8, policy="slice", mean=0.5, std=0.25)
    view = ct.eval_view(ct.read(nifti(body)))
    assert view[0, 3, 3] == 0.5
    assert view[0, 7, 7] == 0  # The left back corner is air.
    normal = ct.normalise(torch.from_numpy(view[np.newaxis].copy()))
    assert normal[0, 0, 3, 3] == 0
    assert normal[0, 0, 7, 7] == -2


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.arange(64) * 4, "its values are 0 to 252, as in a picture of 8 bits"),
        (np.arange(64) * 40, "its values are 0 to 2520, without any below 0"),
    ],
)
def test_a_ct_without_hounsfield_units(nifti, values, text):
    path = nifti(values.reshape(4, 16, 1).astype(np.int16))  # Its padding is no air of its own.
    with pytest.raises(
        DataError, match=f"scan.nii.gz is a CT that is not in HU: {text}.*air is -1000"
    ):
        CT(32).read(path)


# PET


def test_suv_of_one_half_life(pet_headers):
    """70 kg, 350 MBq, 6588 s = 109.8 min from 10:10:12 to 12:00: 70000 g / 175 MBq."""
    assert suv_factor("pt", [header(pet_headers())]) == pytest.approx(4e-4, rel=1e-12)


def test_suv_of_ninety_minutes_of_gallium(pet_headers):
    """Ga-68, 4057.74 s: 2 ** (-5400 / 4057.74) = 0.39755 of 200 MBq is left."""
    values = pet_headers()
    tracer = values["RadiopharmaceuticalInformationSequence"][0]
    tracer.RadionuclideHalfLife, tracer.RadionuclideTotalDose = 4057.74, 200e6
    tracer.RadiopharmaceuticalStartTime = "103000"
    found = suv_factor("pt", [header(values)])
    assert found == pytest.approx(70000 / (200e6 * 0.397550), rel=1e-5)
    assert found == pytest.approx(70000 / (200e6 * math.exp(-math.log(2) * 5400 / 4057.74)))


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"DecayCorrection": "ADMIN"}, 2e-4),
        ({"Units": "GML"}, 1.0),
        ({"SeriesTime": "150000"}, 4e-4),  # A later reconstruction: the acquisition counts.
        ({"AcquisitionTime": "121500"}, 4e-4),  # The second bed: the series counts.
    ],
)
def test_suv_by_the_other_ways(pet_headers, changes, factor):
    assert suv_factor("pt", [header(pet_headers(**changes))]) == pytest.approx(factor)


def test_suv_takes_the_earliest_bed_position(pet_headers):
    beds = [
        header(pet_headers(SeriesTime="150000", AcquisitionTime=time))
        for time in ("121500", "120000", "123000")
    ]
    assert suv_factor("pt", beds) == pytest.approx(4e-4)


def test_suv_over_midnight_and_by_a_full_date(pet_headers):
    values = pet_headers(SeriesTime="003000", AcquisitionTime="003000")
    tracer = values["RadiopharmaceuticalInformationSequence"][0]
    tracer.RadiopharmaceuticalStartTime = "224012"  # The day before.
    assert suv_factor("pt", [header(values)]) == pytest.approx(4e-4)
    tracer.RadiopharmaceuticalStartDateTime = "20240101224012.000000"
    assert suv_factor("pt", [header(values)]) == pytest.approx(4e-4)
    tracer.RadiopharmaceuticalStartDateTime = "20240103224012"
    with pytest.raises(
        DataError, match="the tracer was injected at 2024-01-03 22:40:12, after the"
    ):
        suv_factor("pt", [header(values)])


def test_suv_of_philips_counts(pet_headers):
    one = header(pet_headers(Units="CNTS"))
    with pytest.raises(
        DataError, match="the unit of this PET is CNTS, but SUV is computed from BQML"
    ):
        suv_factor("pt", [one])
    block = one.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.0005")
    assert suv_factor("pt", [one]) == 0.0005


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"PatientWeight": None}, "the header PatientWeight is missing, and SUV needs it"),
        ({"PatientWeight": 0}, "the dose is 3.5e.08 Bq and the weight 0 kg"),
        ({"RadiopharmaceuticalInformationSequence": []}, "RadionuclideTotalDose is missing"),
        (
            {"DecayCorrection": "NONE"},
            "DecayCorrection is NONE, but SUV needs images that are corr",
        ),
        ({"SeriesDate": "2024010"}, "2024010 120000.25 is not a DICOM date and time"),
    ],
)
def test_suv_that_cannot_be_told(pet_headers, changes, text):
    with pytest.raises(DataError, match=text):
        suv_factor("pt", [header(pet_headers(**changes))])


def test_a_dicom_pet_is_read_in_suv(series, pet_headers, tmp_path):
    """25 000 Bq/ml everywhere: 25000 * 4e-4 = 10."""
    stored = np.full((6, 6, 3), 25000)
    folder = series(tmp_path / "pt", stored, RescaleIntercept=0, **pet_headers())
    assert PET(32).read(folder) == pytest.approx(10)


def test_suv_from_zero_to_one(nifti):
    body = np.array([-1.0, 0, 5, 10, 20, 40, 0, 0, 0], np.float32).reshape(3, 3, 1)
    path = nifti(body)
    clipped = PET(3).eval_view(PET(3).read(path))
    logarithm = PET(3, scale="log").eval_view(PET(3).read(path))
    place = PET(3).read(path)
    for suv, grey, log in ((0, 0, 0), (5, 0.25, 0.588518), (10, 0.5, 0.787611), (20, 1, 1)):
        np.testing.assert_allclose(clipped[place == suv], grey, atol=1e-6)
        np.testing.assert_allclose(logarithm[place == suv], log, atol=1e-5)
    assert (clipped[place == 40] == 1).all()
    assert (logarithm[place == 40] > 1).all()
    assert (clipped[place == -1] == 0).all()


def test_activity_is_not_taken_for_suv(nifti):
    with pytest.raises(DataError, match="cannot be SUV: the mean of its positive values is 4000"):
        PET(32).read(nifti(np.full((4, 4, 4), 4000, np.float32)))


# MR


def test_z_scores_inside_the_bright_half(nifti):
    """Mean of 0, 0, 2, 6, 10, 0 = 3; tissue 6 and 10: mean 8, deviation 2."""
    body = np.array([0, 0, 2, 6, 10, 0], np.float32).reshape(2, 3, 1)  # Padded to 3 x 3 later.
    image = MR(32, reduce=False).read(nifti(body))
    assert sorted(np.unique(image).tolist()) == pytest.approx([-4, -3, -1, 1])


def test_z_scores_inside_what_is_not_zero(nifti):
    """Tissue 2, 6, 10: mean 6, deviation sqrt(32 / 3) = 3.26599."""
    body = np.array([0, 0, 2, 6, 10, 0], np.float32).reshape(2, 3, 1)
    image = MR(32, mask="nonzero", reduce=False).read(nifti(body))
    wanted = [-6 / 3.26599, -4 / 3.26599, 0, 4 / 3.26599]
    assert sorted(np.unique(image).tolist()) == pytest.approx(wanted, rel=1e-5)


def test_an_empty_slice(nifti):
    body = np.zeros((4, 4, 4), np.float32)
    body[:, :, 3] = np.arange(16).reshape(4, 4)
    with pytest.raises(DataError, match="is empty: all of its foreground has one value"):
        MR(32).read(nifti(body))
    assert np.isfinite(MR(32).read(nifti(body) + "#slice=3")).all()


def test_the_bias_field_is_smooth_and_around_one():
    rng = np.random.default_rng(0)
    fields = np.stack([bias_field(33, 0.3, rng) for _ in range(200)])
    assert fields[:, 16, 16] == pytest.approx(1)  # No constant term: the middle stays.
    assert np.log(fields).mean() == pytest.approx(0, abs=0.05)
    assert 0.05 < np.log(fields).std() < 0.5
    assert np.abs(np.diff(np.log(fields), axis=1)).max() < 0.3
    assert (bias_field(8, 0, rng) == 1).all()


# Views


class Reference:
    """Sees the image as it is: what is left is geometry."""

    def __call__(self, pixels, rng):
        return pixels


def places(side, seed, **options):
    """Views of an image of its own rows and columns, as millimetres."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) * (64 / side)
    image = np.stack([rows, columns])
    sampling = MR(16, noise=0.0, blur=0.0, crop_scale=(0.3, 0.6), **options).sampling
    return sampling.draw(image, Reference(), np.random.default_rng(5), np.random.default_rng(seed))


def test_registered_scans_of_other_sizes_are_cropped_at_the_same_place():
    """To a pixel of the coarser one, which is 2 mm."""
    for seed in range(20):
        for fine, coarse in zip(places(64, seed), places(32, seed), strict=True):
            np.testing.assert_allclose(fine[:, 4:-4, 4:-4], coarse[:, 4:-4, 4:-4], atol=2)


def test_options_of_one_modality_do_not_shift_the_draws_of_another():
    one = places(64, 3, flip=0.0, rotate=0.0)
    other = places(64, 3, flip=1.0, rotate=0.0)
    for plain, mirrored in zip(one, other, strict=True):
        np.testing.assert_allclose(plain, mirrored[:, :, ::-1], atol=1e-5)


def test_left_and_right_are_kept_by_default(nifti):
    body = np.zeros((16, 16, 1), np.float32)
    body[12:] = np.linspace(5, 10, 4)[:, None, None]  # The right of the patient.
    pet = PET(16, rotate=15.0, crop_scale=(0.9, 1.0), noise=0.0)
    image = pet.read(nifti(body))
    for seed in range(30):
        for view in pet.views(image, np.random.default_rng(seed)):
            assert view[0, :, :6].mean() > view[0, :, 10:].mean()
    mirrored = PET(16, rotate=0.0, crop_scale=(0.9, 1.0), flip=1.0).views(
        image, np.random.default_rng(0)
    )
    assert mirrored[0][0, :, 10:].mean() > mirrored[0][0, :, :6].mean()


def test_random_changes_of_pet_stay_in_their_range():
    pet = PET(16, noise=0.0, blur=0.0, scale_jitter=0.2, gamma=0.0, rotate=0.0)
    image = np.full((1, 16, 16), 10, np.float32)
    found = [view.mean() for s in range(200) for view in pet.views(image, np.random.default_rng(s))]
    assert 0.4 <= min(found) < 0.42 and 0.58 < max(found) <= 0.6
    power = PET(16, noise=0.0, blur=0.0, scale_jitter=0.0, gamma=0.5, rotate=0.0)
    found = [v.mean() for s in range(200) for v in power.views(image, np.random.default_rng(s))]
    low, high = 0.5 ** math.exp(0.5), 0.5 ** math.exp(-0.5)
    assert low <= min(found) < low + 0.01 and high - 0.01 < max(found) <= high + 1e-6


def test_presets_are_what_the_description_says():
    text = " ".join((CT.__doc__ or "").split())
    assert f"window: {', '.join(PRESETS)}, or CENTRE,WIDTH in HU" in text
