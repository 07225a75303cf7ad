"""Scans as nobody wants them: each is read rightly, or refused in one line that helps."""

import gzip
import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from sm3kit.api import DataError
from sm3kit.data.image_cache import ImageCache
from sm3kit.modalities.photo import Photo
from sm3kit_volumes.modalities.ct import CT
from sm3kit_volumes.modalities.mr import MR
from sm3kit_volumes.modalities.pet import PET
from sm3kit_volumes.readers.dicom import patient_of
from sm3kit_volumes.readers.opening import open_volume

SECONDS = 10  # None may take longer.
VALUES = np.random.default_rng(0).integers(0, 2000, (6, 5, 4))
EMPTIED = [
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
    "SamplesPerPixel",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SliceThickness",
    "WindowCenter",
    "WindowWidth",
    "SeriesInstanceUID",
    "PatientID",
    "ModalityLUTSequence",
    "VOILUTSequence",
]


@contextmanager
def in_time():
    def late(*_):
        raise AssertionError(f"takes longer than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refusal(path, modality=None):
    with in_time(), pytest.raises(DataError) as told:
        (modality or CT(32)).read(str(path))
    message = str(told.value)
    assert "\n" not in message
    assert message.endswith((".", ")"))
    return message


def one_slice(series, folder):
    """A series of one slice, and that file."""
    path = Path(series(folder, VALUES[:, :, :1]))
    return next(path.iterdir())


def changed(file, **changes):
    dataset = pydicom.dcmread(file)
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.save_as(file)
    return file


# Headers that are there but empty


@pytest.mark.parametrize("name", EMPTIED)
def test_an_empty_header_is_as_one_that_is_absent(series, tmp_path, name):
    empty = changed(one_slice(series, tmp_path / "empty"), **{name: None})
    absent = one_slice(series, tmp_path / "absent")
    dataset = pydicom.dcmread(absent)
    if name in dataset:
        del dataset[name]
        dataset.save_as(absent)
    one, other = (open_volume(str(path), 0.0)[0] for path in (empty, absent))
    np.testing.assert_array_equal(one.affine, other.affine)
    np.testing.assert_array_equal(one.voxels(0, 1), other.voxels(0, 1))
    assert patient_of(empty) == patient_of(absent)
    assert MR(16).read(str(empty)).shape == MR(16).read(str(absent)).shape


@pytest.mark.parametrize("name", ["RescaleSlope", "RescaleIntercept", "PixelSpacing"])
def test_so_is_one_of_blanks(series, tmp_path, name):
    file = changed(one_slice(series, tmp_path / "ct"), SliceThickness=7, **{name: "7777"})
    content = file.read_bytes()
    assert content.count(b"7777") == 1
    file.write_bytes(content.replace(b"7777", b"    "))
    volume, _ = open_volume(str(file), 0.0)
    shift = {"RescaleIntercept": 0}.get(name, -1024)
    np.testing.assert_array_equal(volume.voxels(0, 1)[..., 0], VALUES[:, :, 0] + shift)
    assert volume.spacing[0] == 1


def test_a_slope_counts_without_an_intercept(series, tmp_path):
    file = changed(one_slice(series, tmp_path / "pt"), RescaleSlope=3, RescaleIntercept=None)
    volume, _ = open_volume(str(file), 0.0)
    np.testing.assert_array_equal(volume.voxels(0, 1)[..., 0], 3 * VALUES[:, :, 0])


def test_slices_without_a_place_have_no_order(series, tmp_path):
    folder = series(tmp_path / "ct", VALUES)
    file = changed(sorted(Path(folder).iterdir())[0], ImagePositionPatient=None)
    assert f"the slice {file.name} has no ImagePositionPatient" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PixelSpacing": [1]}, "PixelSpacing should hold 2 numbers, but holds 1"),
        ({"ImagePositionPatient": [1, 2]}, "ImagePositionPatient should hold 3 numbers"),
        ({"ImageOrientationPatient": [1, 0, 0]}, "ImageOrientationPatient should hold 6 numbers"),
        ({"ImageOrientationPatient": [0] * 6}, "has no valid orientation"),
        ({"PixelSpacing": [0, 0]}, "has no valid orientation"),
        ({"Rows": None}, "holds no DICOM image: Rows missing"),
        ({"Columns": None}, "holds no DICOM image: Columns missing"),
        ({"Rows": 0}, "which holds no voxel"),
        ({"PixelData": b""}, "Cannot read"),
        ({"BitsAllocated": None}, "Cannot read"),
        ({"PhotometricInterpretation": None}, "Cannot read"),
        ({"Rows": 60000}, "Cannot read"),
        ({"NumberOfFrames": 3}, "multi-frame"),
        ({"SamplesPerPixel": 3}, "is a colour image"),
    ],
)
def test_headers_that_do_not_do(series, tmp_path, changes, words):
    assert words in refusal(changed(one_slice(series, tmp_path / "ct"), **changes))


@pytest.mark.parametrize(
    "name", ["RescaleSlope", "SliceThickness", "NumberOfFrames", "PixelSpacing"]
)
def test_headers_that_are_no_number(series, tmp_path, name):
    file = changed(one_slice(series, tmp_path / "ct"), **{name: "7777"})
    file.write_bytes(file.read_bytes().replace(b"7777", b"odd!"))
    assert "Cannot read" in refusal(file)


@pytest.mark.parametrize("name", ["RadionuclideTotalDose", "RadionuclideHalfLife", "PatientWeight"])
@pytest.mark.parametrize(("value", "words"), [(None, "is missing"), ("odd", "is not a number")])
def test_uptake_needs_its_headers(series, pet_headers, tmp_path, name, value, words):
    headers = pet_headers()
    tracer = headers["RadiopharmaceuticalInformationSequence"][0]
    file = changed(one_slice(series, tmp_path / "pt"), **headers)
    owner = tracer if name in tracer else Dataset()
    with pydicom.config.disable_value_validation():
        if name in tracer:
            setattr(owner, name, None if value is None else "7777")
            changed(file, RadiopharmaceuticalInformationSequence=[owner])
        else:
            changed(file, **{name: None if value is None else "7777"})
    file.write_bytes(file.read_bytes().replace(b"7777", b"odd "))
    message = refusal(file, PET(32))
    assert words in message or "Cannot read" in message
    assert name in message or value == "odd"


# Files without a preamble, and files that are something else


def test_a_file_without_a_preamble(series, tmp_path):
    file = one_slice(series, tmp_path / "ct")
    whole = CT(32).read(str(file))
    file.write_bytes(file.read_bytes()[132:])
    np.testing.assert_array_equal(CT(32).read(str(file)), whole)
    np.testing.assert_array_equal(CT(32).read(str(file.parent)), whole)
    assert patient_of(file) == "P1"


@pytest.mark.parametrize("implicit", [True, False])
def test_a_file_without_the_headers_of_group_two(series, tmp_path, implicit):
    file = one_slice(series, tmp_path / "ct")
    whole = CT(32).read(str(file))
    plain = Dataset(pydicom.dcmread(file))
    with file.open("wb") as stream:
        pydicom.dcmwrite(
            stream, plain, implicit_vr=implicit, little_endian=True, enforce_file_format=False
        )
    np.testing.assert_array_equal(CT(32).read(str(file)), whole)


def test_dicom_without_an_image(tmp_path):
    report = FileDataset(None, {}, preamble=bytes(128), file_meta=FileMetaDataset())
    report.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    report.PatientID = "P1"
    report.save_as(tmp_path / "report.dcm")
    assert "holds no DICOM image: Rows and Columns missing" in refusal(tmp_path / "report.dcm")
    assert "holds no DICOM image (1 DICOM files)" in refusal(tmp_path)


def nifti_bytes(**changes):
    image = nibabel.Nifti1Image(VALUES.astype(np.int16), np.eye(4))
    content = bytearray(image.to_bytes())
    places = {
        "dim": (40, "<8h"),
        "datatype": (70, "<h"),
        "vox_offset": (108, "<f"),
    }
    for name, value in changes.items():
        place, form = places[name]
        struct.pack_into(form, content, place, *np.atleast_1d(value).tolist())
    return bytes(content)


FILES = {
    "zeros.nii": bytes(900),
    "zeros.nii.gz": bytes(900),
    "zeros.dcm": bytes(900),
    "zeros.mha": bytes(900),
    "empty.dcm": b"",
    "empty.nii.gz": b"",
    "mark.dcm": bytes(128) + b"DICM",
    "garbage.dcm": bytes(128) + b"DICM" + b"\xff" * 300,
    "bare-garbage.dcm": b"\x08\0\x05\0CS\xff\xff" + b"\xff" * 300,
    "picture.nii": b"\x89PNG\r\n\x1a\n" + bytes(300),
    "picture.dcm": b"\x89PNG\r\n\x1a\n" + bytes(300),
    "packed-text.nii.gz": b"\x1f\x8b\x08" + b"no gzip" * 40,
    "unpacked.nii.gz": nifti_bytes(),
    "cut-header.nii": nifti_bytes()[:100],
    "cut.nii": nifti_bytes()[:-100],
    "no-voxels.nii": nifti_bytes(dim=[3, 0, 5, 4, 1, 1, 1, 1]),
    "huge.nii": nifti_bytes(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]),
    "negative.nii": nifti_bytes(dim=[3, -6, 5, 4, 1, 1, 1, 1]),
    "many-axes.nii": nifti_bytes(dim=[7, 1, 1, 1, 2, 2, 2, 15]),
    "odd-type.nii": nifti_bytes(datatype=9999),
    "complex.nii": nifti_bytes(datatype=32),
    "far.nii": nifti_bytes(vox_offset=1e30),
    "packed.nii": gzip.compress(nifti_bytes()),
    "text.mha": b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_ODD\n",
    "alone.mhd": b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\n"
    b"ElementDataFile = gone.raw\n",
    "huge.mha": b"ObjectType = Image\nNDims = 3\nDimSize = 99999 99999 9\n"
    b"ElementType = MET_SHORT\nElementDataFile = LOCAL\n",
    "alone.nhdr": b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\ndata file: gone.raw\n",
    "odd.nrrd": b"NRRD0004\ntype: odd\ndimension: 3\n\n",
}


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("modality", [CT(32), MR(32), PET(32)], ids=["ct", "mr", "pet"])
@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_scan(everything, name, modality):
    refusal(everything / name, modality)


def test_axes_beyond_time_have_no_remedy_in_the_path(nifti):
    path = nifti(np.ones((3, 3, 3, 1, 3), np.float32))
    assert refusal(path, MR(32)) == (
        f"{path} has shape (3, 3, 3, 1, 3), 5 axes, but an image is made of one volume (x, y, z). "
        "Save one volume alone."
    )


def test_values_that_are_no_number_are_outside(nifti):
    voxels = np.full((8, 8, 8), -500.0)
    voxels[2, 2], voxels[3, 3], voxels[4, 4] = np.nan, np.inf, 1e300
    image = CT(32).read(nifti(voxels))
    assert sorted(set(image.ravel().tolist())) == [-1000, -500]


def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # The name of a socket has 108 letters at most.
    words = {}
    for suffix in (".nii", ".nii.gz", ".mha", ".nrrd", ".mhd", ".dcm", ""):
        os.mkfifo(f"pipe{suffix}")
        Path(f"link{suffix}").symlink_to(f"pipe{suffix}")
        Path(f"device{suffix}").symlink_to("/dev/zero")
        words |= {f"{name}{suffix}": "is a named pipe, not a scan" for name in ("pipe", "link")}
        words[f"device{suffix}"] = "is a device, not a scan"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.dcm")
    words["socket.dcm"] = "is a socket, not a scan"
    Path("folder.nii").mkdir()
    words["folder.nii"] = "holds no DICOM image"
    Path("voxels.mhd").write_bytes(FILES["alone.mhd"].replace(b"gone.raw", b"pipe.nii"))
    words["voxels.mhd"] = "is a named pipe, not a file of voxels"
    words[f"{'long' * 70}.nii"] = "File name too long"
    words["nul\0.nii"] = "No scan can be named"
    for name, text in words.items():
        assert text in refusal(tmp_path / name)
        with in_time(), pytest.raises(DataError):
            ImageCache(tmp_path / "cache").get(str(tmp_path / name), CT(32))
    nibabel.save(nibabel.Nifti1Image(VALUES.astype(np.int16), np.eye(4)), "scan.nii")
    assert "is a named pipe" in refusal(f"{tmp_path}/scan.nii#grid=pipe.nii")


def test_a_pipe_among_the_slices_of_a_series_is_passed_over(series, tmp_path):
    folder = series(tmp_path / "ct", VALUES)
    whole = CT(32).read(folder)
    os.mkfifo(Path(folder) / "pipe.dcm")
    with in_time():
        np.testing.assert_array_equal(CT(32).read(folder), whole)
        assert patient_of(Path(folder)) == "P1"


def test_a_photo_names_the_modalities_that_read_a_scan(tmp_path):
    for name, known in (("a.dcm", "ct, mammogram, mr, pet"), ("a.nii.gz", "ct, mr, pet")):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM" + bytes(300))
        assert refusal(tmp_path / name, Photo(16)) == (
            f"The image {tmp_path / name} is not in a format that Pillow knows. The modalities "
            f"that read such a file: {known}. Choose one in the data set, or convert the file."
        )


def test_libraries_write_nothing_of_their_own(everything):
    code = (
        "import sys\n"
        "from sm3kit.api import DataError\n"
        "from sm3kit_volumes.modalities.mr import MR\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        MR(32).read(path)\n"
        "    except DataError:\n"
        "        pass\n"
    )
    # ITK writes to the terminal past Python.
    paths = [str(everything / name) for name in FILES if name.endswith((".dcm", ".nii", ".nii.gz"))]
    paths += [get_testdata_file("CT_small.dcm"), get_testdata_file("MR_small.dcm")]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
