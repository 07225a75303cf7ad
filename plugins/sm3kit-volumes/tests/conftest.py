"""What the tests share: a cache of their own, the command line, and scans that are written here."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from sm3kit.cli.main import cli


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """The tests neither read nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SM3KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def sm3kit():
    """Runs `sm3kit ...` in this process; gives what it wrote."""

    def run(*words, fails=False):
        done = CliRunner().invoke(cli, [str(word) for word in words], prog_name="sm3kit")
        return checked(done.output, done.exit_code, fails)

    return run


@pytest.fixture(scope="session")
def sm3kit_process():
    """Runs `sm3kit ...` as a user does, in a process of its own; gives what it wrote."""

    def run(*words, fails=False):
        done = subprocess.run(
            [sys.executable, "-m", "sm3kit", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
        )
        return checked(done.stdout + done.stderr, done.returncode, fails)

    return run


def checked(written, code, fails):
    """What a command wrote, where it ended as it should."""
    assert (code != 0) == fails, written
    assert "Traceback" not in written, written
    return written


@pytest.fixture
def nifti(tmp_path):
    """Writes voxels as NIfTI: nifti(voxels, spacing, name, affine=...); gives the path."""

    def write(voxels, spacing=(1.0, 1.0, 1.0), name="scan.nii.gz", affine=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        affine = np.diag([*spacing, 1.0]) if affine is None else affine
        nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
        return str(path)

    return write


def slice_headers(place, number, series, **changes):
    """A plain axial CT slice of 1 mm pixels, `place` mm above the origin."""
    one = FileDataset(None, {}, preamble=b"\0" * 128, file_meta=FileMetaDataset())
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    one.SOPClassUID = pydicom.uid.CTImageStorage
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    one.SeriesInstanceUID, one.InstanceNumber, one.PatientID = series, number, "P1"
    one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, place], [1, 0, 0, 0, 1, 0]
    one.PixelSpacing, one.SliceThickness = [1, 1], 1
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = 16
    one.HighBit, one.PixelRepresentation = 15, 0
    one.RescaleSlope, one.RescaleIntercept = 1, -1024
    for name, value in changes.items():
        setattr(one, name, value)
    return one


@pytest.fixture
def series():
    """Writes a DICOM series of stored values (I, J, K): series(folder, voxels, gap=..., ...).

    The slices are K planes upward from the feet; file names run the other way.
    """

    def write(folder: Path, voxels, gap=2.0, uid="1.2.3", **changes):
        folder.mkdir(parents=True, exist_ok=True)
        count = voxels.shape[2]
        for k in range(count):
            one = slice_headers(gap * k, k + 1, uid, **changes)
            one.Columns, one.Rows = voxels.shape[:2]
            one.PixelData = voxels[:, :, k].T.astype(np.uint16).tobytes()
            one.save_as(folder / f"{uid}-{count - k:03d}.dcm", enforce_file_format=True)
        return str(folder)

    return write


@pytest.fixture
def pet_headers():
    """The headers of a PET of 70 kg, 350 MBq F-18 one half-life before the scan."""

    def made(**changes):
        tracer = Dataset()
        tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = 350e6, 6588.0
        tracer.RadiopharmaceuticalStartTime = "101012.00"
        plain = {
            "Units": "BQML",
            "DecayCorrection": "START",
            "PatientWeight": 70,
            "SeriesDate": "20240102",
            "SeriesTime": "120000.25",
            "AcquisitionDate": "20240102",
            "AcquisitionTime": "120000",
            "RadiopharmaceuticalInformationSequence": [tracer],
        }
        return plain | changes

    return made
