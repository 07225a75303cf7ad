"""Readers: real files of the wheels, written ones, and everything that can be wrong with them."""

import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.data import get_testdata_file

from sm3kit.api import DataError
from sm3kit_volumes.modalities.ct import CT
from sm3kit_volumes.modalities.mr import MR
from sm3kit_volumes.modalities.pet import PET
from sm3kit_volumes.readers import dicom
from sm3kit_volumes.readers.opening import open_volume

NIBABEL = Path(nibabel.__file__).parent / "tests" / "data"


def plane(path):
    volume, _ = open_volume(str(path), 0.0)
    return volume.planes("axial", [volume.length("axial") // 2])[..., 0]


# Real files


def test_a_real_ct_slice_in_hounsfield_units():
    path = get_testdata_file("CT_small.dcm")
    stored = pydicom.dcmread(path)
    found = plane(path)
    np.testing.assert_array_equal(found, stored.pixel_array.astype(np.float32) - 1024)
    image = CT(32, reduce=False).read(path)
    assert image.shape == (1, 128, 128)
    assert image.min() == found.min()


def test_a_real_mr_slice_and_its_compressed_copies():
    path = get_testdata_file("MR_small.dcm")
    whole = plane(path)
    assert whole.shape == (64, 64)
    np.testing.assert_array_equal(plane(get_testdata_file("MR_small_RLE.dcm")), whole)
    np.testing.assert_array_equal(plane(get_testdata_file("MR_small_bigendian.dcm")), whole)
    image = MR(32).read(path)
    assert image.dtype == np.float32


@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_compressed_files_are_decoded_or_the_line_that_helps_is_given(name):
    path = get_testdata_file(name)
    syntax = pydicom.dcmread(path).file_meta.TransferSyntaxUID
    if pydicom.pixels.get_decoder(syntax).is_available:
        np.testing.assert_array_equal(plane(path), plane(get_testdata_file("MR_small.dcm")))
    else:
        with pytest.raises(DataError, match="is compressed .* pip install pylibjpeg"):
            plane(path)


@pytest.mark.parametrize(
    ("name", "installed", "words"),
    [
        ("MR_small_jp2klossless.dcm", (), "no decoder is installed. Install them: "),
        ("MR_small_jp2klossless.dcm", ("gdcm", "pillow"), "which gdcm and pillow cannot always"),
        ("JPEG-lossy.dcm", ("pillow",), "which pillow cannot always decode: install the other"),
        ("JPEG-lossy.dcm", ("pillow", "pylibjpeg"), None),
        ("MR_small_RLE.dcm", ("pydicom",), None),
        ("MR_small.dcm", (), None),
    ],
)
def test_a_missing_decoder_has_its_pip_line(monkeypatch, name, installed, words):
    """As on a machine with other decoders, whatever this one has; None: they are all there."""

    def fails(self):
        raise RuntimeError("something failed")

    decoder = SimpleNamespace(available_plugins=installed, is_available=bool(installed))
    monkeypatch.setattr(pydicom.pixels, "get_decoder", lambda syntax: decoder)
    monkeypatch.setattr(pydicom.dataset.Dataset, "pixel_array", property(fails))
    with pytest.raises(DataError) as told:
        plane(get_testdata_file(name))
    message = str(told.value)
    assert ("pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg" in message) == bool(words)
    assert words is None or words in message
    assert ("opy it again" in " ".join(message.split())) == (words is None or bool(installed))


def test_twelve_bits_of_jpeg_extended_are_decoded_or_the_line_that_helps_is_given():
    path = get_testdata_file("JPEG-lossy.dcm")
    stored = pydicom.dcmread(path)
    assert (stored.file_meta.TransferSyntaxUID, stored.BitsStored) == ("1.2.840.10008.1.2.4.51", 12)
    decoder = pydicom.pixels.get_decoder(stored.file_meta.TransferSyntaxUID)
    if {"gdcm", "pylibjpeg"} & set(decoder.available_plugins):
        assert plane(path).shape == (stored.Rows, stored.Columns)
    else:
        with pytest.raises(DataError, match=r"JPEG Extended .*\(pip install pylibjpeg "):
            plane(path)


def test_a_real_anatomical_volume_lies_as_nibabel_says():
    path = NIBABEL / "anatomical.nii"
    canonical = nibabel.as_closest_canonical(nibabel.load(path))
    volume, _ = open_volume(str(path), 0.0)
    for place, axis in enumerate(("sagittal", "coronal", "axial")):
        assert volume.length(axis) == canonical.shape[place]
        wanted = np.take(np.asarray(canonical.dataobj), 10, axis=place)[::-1, ::-1].T
        np.testing.assert_allclose(volume.planes(axis, [10])[..., 0], wanted, rtol=1e-6)
    for options in ({}, {"policy": "stack"}, {"policy": "mip", "axis": "coronal"}):
        assert np.isfinite(MR(32, **options).read(str(path))).all()


@pytest.mark.parametrize("name", ["functional.nii", "example4d.nii.gz"])
def test_real_volumes_over_time(name):
    path = NIBABEL / name
    image = nibabel.load(path)
    with pytest.raises(DataError, match=rf"{image.shape[3]} volumes, but .* {name}#time=0"):
        open_volume(str(path), 0.0)
    with pytest.raises(DataError, match=rf"#time=99: there are only {image.shape[3]} volumes"):
        open_volume(f"{path}#time=99", 0.0)
    volume, _ = open_volume(f"{path}#time=1", 0.0)
    wanted = np.asarray(nibabel.as_closest_canonical(image).dataobj)[..., 2, 1][::-1, ::-1].T
    np.testing.assert_allclose(volume.planes("axial", [2])[..., 0], wanted, rtol=1e-5)
    one, two = (MR(16).read(f"{path}#time={t}&slice=2") for t in (0, 1))
    assert not np.array_equal(one, two)


def test_a_fourth_axis_of_one_is_no_time(nifti):
    flat = plane(nifti(np.arange(24.0).reshape(2, 3, 4, 1)))
    assert flat.shape == (3, 2)


# DICOM series

VALUES = np.random.default_rng(0).integers(0, 2000, (6, 5, 8))


def test_slices_are_sorted_by_where_they_lie(series, tmp_path):
    folder = series(tmp_path / "ct", VALUES)
    volume, _ = open_volume(folder, 0.0)
    assert volume.shape == (6, 5, 8)
    assert volume.step("axial") == 2
    for k in range(8):
        found = volume.planes("axial", [k])[..., 0]
        np.testing.assert_array_equal(found, VALUES[:, :, k].T - 1024)


def test_a_sagittal_series_is_cut_into_axial_slices(series, tmp_path):
    folder = series(tmp_path / "mr", VALUES, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    for k, file in enumerate(sorted(Path(folder).iterdir(), reverse=True)):
        one = pydicom.dcmread(file)
        one.ImagePositionPatient = [2.0 * k, 0, 0]  # To the left of the patient.
        one.save_as(file)
    volume, _ = open_volume(folder, 0.0)
    assert [volume.length(a) for a in ("sagittal", "coronal", "axial")] == [8, 6, 5]
    top = volume.planes("axial", [4])[..., 0]  # (front to back, right to left)
    np.testing.assert_array_equal(top, VALUES[:, 0, :] - 1024)


def test_slope_and_intercept_of_each_slice(series, tmp_path):
    folder = series(tmp_path / "pt", VALUES, RescaleIntercept=0)
    for k, file in enumerate(sorted(Path(folder).iterdir(), reverse=True)):
        one = pydicom.dcmread(file)
        one.RescaleSlope = k + 1
        one.save_as(file)
    volume, _ = open_volume(folder, 0.0)
    np.testing.assert_array_equal(volume.planes("axial", [3])[..., 0], 4 * VALUES[:, :, 3].T)


def test_a_missing_slice_is_named(series, tmp_path):
    folder = series(tmp_path / "ct", VALUES)
    (Path(folder) / "1.2.3-004.dcm").unlink()
    with pytest.raises(
        DataError,
        match="a slice is missing between 1.2.3-005.dcm at 6.0 mm and 1.2.3-003.dcm at 10.0 mm; "
        "neighbours are 2.0 mm apart",
    ):
        CT(32).read(folder)


def test_two_slices_at_one_place(series, tmp_path):
    folder = series(tmp_path / "ct", VALUES)
    copy = (Path(folder) / "1.2.3-004.dcm").read_bytes()
    (Path(folder) / "echo.dcm").write_bytes(copy)
    with pytest.raises(
        DataError, match="two slices are at the same position, 1.2.3-004.dcm at 8.0 mm"
    ):
        CT(32).read(folder)


def test_the_largest_series_or_the_one_that_is_named(series, tmp_path, caplog):
    series(tmp_path / "ct" / "scout", VALUES[:, :, :2], uid="1.2.1")
    folder = series(tmp_path / "ct", VALUES, uid="1.2.2")
    volume, _ = open_volume(folder, 0.0)
    assert volume.shape[2] == 8
    assert "holds 2 series; the largest, 1.2.2, is read. Choose another with ct#series=UID" in (
        caplog.text
    )
    caplog.clear()
    assert open_volume(f"{folder}#series=1.2.1", 0.0)[0].shape[2] == 2
    assert not caplog.text
    with pytest.raises(DataError, match=r"no series 9. It holds .*1.2.2 \(8 slices\)"):
        open_volume(f"{folder}#series=9", 0.0)


def test_slices_that_are_no_volume(series, tmp_path):
    folder = series(tmp_path / "ct", VALUES)
    series(tmp_path / "ct", VALUES[:5, :, :1])  # Overwrites 001 by a smaller one.
    with pytest.raises(DataError, match="of one series differ in size or direction"):
        CT(32).read(folder)


def test_inverted_grey_is_turned_round_for_mr_and_left_where_values_have_a_unit(series, tmp_path):
    bright = VALUES.copy()
    plain = series(tmp_path / "plain", bright, RescaleIntercept=0)
    inverted = series(
        tmp_path / "inverted",
        2000 - bright,
        RescaleIntercept=0,
        PhotometricInterpretation="MONOCHROME1",
    )
    np.testing.assert_allclose(MR(32).read(inverted), MR(32).read(plain), atol=1e-5)
    hounsfield = series(tmp_path / "ct", bright, PhotometricInterpretation="MONOCHROME1")
    assert CT(32).read(hounsfield).min() == bright[:, :, 4].min() - 1024


def test_dicom_that_is_no_grey_plane(tmp_path, series):
    with pytest.raises(DataError, match="is a colour image, but scans are grey. Save it as PNG"):
        CT(32).read(get_testdata_file("examples_rgb_color.dcm"))
    with pytest.raises(DataError, match="multi-frame.*dcm2niix"):
        CT(32).read(get_testdata_file("rtdose.dcm"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no DICOM image \(0 DICOM files\)"):
        CT(32).read(str(tmp_path / "empty"))


def test_the_patient_of_a_series(series, tmp_path):
    folder = Path(series(tmp_path / "ct", VALUES, PatientID="Jane"))
    (folder / "000-notes.txt").write_text("no image")
    assert dicom.patient_of(folder) == "Jane"
    assert dicom.patient_of(sorted(folder.glob("*.dcm"))[0]) == "Jane"
    assert dicom.patient_of(Path(series(tmp_path / "mr", VALUES, PatientID=""))) == ""


# Grids


def test_a_coarse_scan_on_the_grid_of_a_fine_one(nifti):
    """A ramp stays a ramp: linear interpolation, the same millimetres."""
    nifti(np.zeros((9, 9, 9), np.int16), (1.0, 1.0, 1.0), "ct/fine.nii.gz")
    ramp = np.broadcast_to(np.arange(5.0)[:, None, None] * 2, (5, 5, 5))
    coarse = nifti(ramp.astype(np.float32), (2.0, 2.0, 2.0), "pt/coarse.nii.gz")
    volume, part = open_volume(f"{coarse}#grid=../ct/fine.nii.gz", 0.0)
    assert (volume.shape, part.grid) == ((9, 9, 9), "../ct/fine.nii.gz")
    for k in (0, 4, 8):
        row = volume.planes("axial", [k])[4, :, 0]
        np.testing.assert_allclose(row, np.arange(9.0)[::-1], atol=1e-5)
    coronal = volume.planes("coronal", [3])[2, :, 0]
    np.testing.assert_allclose(coronal, np.arange(9.0)[::-1], atol=1e-5)


def test_outside_of_a_scan_is_what_the_modality_says(nifti):
    near = nifti(np.full((4, 4, 4), 40, np.int16), name="near.nii.gz")
    wide = nifti(np.zeros((8, 8, 4), np.int16), name="wide.nii.gz")
    image = CT(32, reduce=False).read(f"{near}#grid={Path(wide).name}")
    assert sorted(set(image.ravel().tolist())) == [-1000, 40]


# What cannot be read


@pytest.mark.parametrize("name", ["cut.nii", "cut.nii.gz", "cut.mha", "cut.nrrd"])
def test_a_file_that_is_cut_off(nifti, tmp_path, name):
    noise = np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20)).astype(np.int16)
    whole = nifti(noise, name=f"whole{'.nii.gz' if name.endswith('gz') else '.nii'}")
    if not name.startswith("cut.nii"):
        itk = SimpleITK.ReadImage(whole)
        whole = str(tmp_path / f"whole{Path(name).suffix}")
        SimpleITK.WriteImage(itk, whole)
    content = Path(whole).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(content[: len(content) // 3])
    with pytest.raises(DataError, match=f"Cannot read .*{name}: .*Copy it again") as told:
        CT(32).read(str(cut))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["bad.nii", "bad.nii.gz", "bad.mha", "bad.nrrd"])
def test_a_file_that_is_something_else(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is no scan at all " * 40)
    with pytest.raises(DataError, match=f"Cannot read .*{name}: "):
        CT(32).read(str(tmp_path / name))


def test_a_dicom_file_that_is_cut_off(tmp_path):
    content = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"Cannot read .*cut.dcm: "):
        CT(32).read(str(tmp_path / "cut.dcm"))


def test_paths_that_are_no_scan(tmp_path):
    with pytest.raises(DataError, match="There is no scan .*gone.nii.gz. Check the data folder"):
        CT(32).read(str(tmp_path / "gone.nii.gz"))
    (tmp_path / "empty.nii").touch()
    with pytest.raises(DataError, match=r"empty.nii is empty \(0 bytes\)"):
        CT(32).read(str(tmp_path / "empty.nii"))
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff" * 99)
    with pytest.raises(DataError, match="is not a supported scan: NIfTI, MetaImage and"):
        CT(32).read(str(tmp_path / "photo.jpg"))


def test_colours_and_several_values_per_voxel(nifti, tmp_path):
    colours = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(DataError, match="not one number per voxel"):
        MR(32).read(nifti(colours))
    vectors = SimpleITK.GetImageFromArray(np.zeros((4, 4, 4, 3), np.float32), isVector=True)
    SimpleITK.WriteImage(vectors, str(tmp_path / "flow.mha"))
    with pytest.raises(DataError, match="with 3 values per voxel"):
        MR(32).read(str(tmp_path / "flow.mha"))


@pytest.mark.parametrize(("suffix", "beside"), [(".mhd", ".raw"), (".nhdr", ".raw")])
def test_a_header_is_watched_with_its_voxels(tmp_path, suffix, beside):
    """The headers of two patients may be equal, so that a cache must look at both files."""
    voxels = np.random.default_rng(0).random((6, 5, 4), np.float32) + 1
    image = SimpleITK.GetImageFromArray(voxels)
    SimpleITK.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    SimpleITK.WriteImage(image, str(tmp_path / "scan.mha"))
    path = str(tmp_path / f"scan{suffix}")
    assert MR(32).files(path) == [path, str(tmp_path / f"scan{beside}")]
    assert (MR(32).read(path) == MR(32).read(str(tmp_path / "scan.mha"))).all()


def test_a_header_of_many_files_is_watched_with_its_folder(tmp_path):
    header = tmp_path / "scan.mhd"
    header.write_text("NDims = 3\nElementDataFile = slice%03d.raw 1 9 1\n")
    assert CT(32).files(str(header)) == [str(header), str(tmp_path)]


def test_the_grid_of_a_scan_is_watched_too(tmp_path):
    path = f"{tmp_path / 'pt.nii.gz'}#grid=ct.nii.gz"
    assert PET(32).files(path) == [str(tmp_path / "pt.nii.gz"), str(tmp_path / "ct.nii.gz")]


@pytest.mark.parametrize("part", ["slce=3", "slice=", "3"])
def test_parts_that_are_unknown(nifti, part):
    with pytest.raises(DataError, match="the part .* is not one of slice=..., series="):
        CT(32).read(f"{nifti(np.zeros((4, 4, 4)))}#{part}")


@pytest.mark.parametrize(
    ("library", "name", "what"),
    [
        ("nibabel", "scan.nii.gz", "NIfTI files are read with nibabel"),
        ("pydicom", "scan.dcm", "DICOM files are read with pydicom"),
        ("SimpleITK", "scan.mha", "MetaImage and NRRD files are read with SimpleITK"),
    ],
)
def test_a_library_that_is_missing(monkeypatch, tmp_path, library, name, what):
    path = tmp_path / name
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 400)
    monkeypatch.setitem(sys.modules, library, None)
    for modality in (CT(32), MR(32), PET(32)):
        with pytest.raises(DataError, match=f"{what}, .*: pip install {library}$"):
            modality.read(str(path))


def test_importing_the_plugins_loads_no_reader():
    import subprocess

    code = (
        "import sys\n"
        "import sm3kit_volumes.modalities.ct, sm3kit_volumes.datasets.volumes\n"
        "assert not {'nibabel', 'pydicom', 'SimpleITK'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
