"""Small drawn bodies and breasts, written as files, to try things on."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sm3kit_volumes.libraries import library
from sm3kit_volumes.volume import Voxels

SHAPE = (32, 28, 12)
SPACING = (2.0, 2.0, 5.0)


def organs(seed: int) -> tuple[Voxels, Voxels, Voxels]:
    """Where the body, its two organs and its spine are, as masks of `SHAPE`."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    body = (x / 0.85) ** 2 + (y / 0.7) ** 2 + (z / 1.6) ** 2 < 1
    inner = np.zeros(SHAPE, bool)
    for centre in rng.uniform(-0.35, 0.35, size=(2, 3)):
        distance = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
        inner |= distance < rng.uniform(0.04, 0.12)
    return body, inner & body, x**2 + (y + 0.5) ** 2 < 0.02


def hounsfield(seed: int) -> Voxels:
    """A CT in HU."""
    body, inner, spine = organs(seed)
    noise = np.random.default_rng(seed + 1).normal(0, 8, SHAPE)
    tissue = np.select([spine, inner, body], [1000, 60, -20], -1000)
    return (tissue + noise).astype(np.int16)


def uptake(seed: int) -> Voxels:
    """A PET in SUV."""
    body, inner, _ = organs(seed)
    noise = np.random.default_rng(seed + 2).gamma(4, 0.25, SHAPE)
    return (np.where(inner, 8.0, np.where(body, 1.0, 0.02)) * noise).astype(np.float32)


def signal(seed: int) -> Voxels:
    """An MR without a unit."""
    body, inner, _ = organs(seed)
    noise = np.random.default_rng(seed + 3).normal(0, 20, SHAPE)
    return np.abs(np.where(inner, 700, np.where(body, 300, 0)) + noise).astype(np.float32)


def write_scan(path: Path, voxels: Voxels, spacing: tuple[float, float, float] = SPACING) -> str:
    """Writes voxels as NIfTI, in canonical order, and gives the path as text."""
    nibabel = library("nibabel", "NIfTI files")
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*spacing, 1.0])), path)
    return str(path)


def breast(seed: int, side: str, view: str, mass: bool = False) -> Voxels:
    """A mammogram (48, 40) of 12 bits: a bright breast at the edge of its side, air beside it."""
    rng = np.random.default_rng([seed, ord(side), len(view)])
    row, column = np.mgrid[-1:1:48j, 0:1:40j]
    column = column if side == "L" else 1 - column
    shape = np.hypot(row / 0.8, (column + (0.5 * row if view == "MLO" else 0)) / 0.6) < 1
    values = np.where(shape, 1200 + 600 * rng.random() + rng.normal(0, 60, shape.shape), 30)
    if mass:
        values[np.hypot(row - rng.uniform(-0.3, 0.3), column - 0.25) < 0.15] = 3500
    return values.clip(0, 4095).astype(np.uint16)


def write_mammogram(path: Path, values: Voxels, inverted: bool = False) -> str:
    """Writes values of 12 bits as a DICOM file, if wanted as MONOCHROME1, and gives its path."""
    dataset = library("pydicom.dataset", "DICOM files")
    uid = library("pydicom.uid", "DICOM files")
    meta = dataset.FileMetaDataset()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid.generate_uid(entropy_srcs=[path.name])
    one = dataset.FileDataset(None, {}, preamble=b"\0" * 128, file_meta=meta)
    one.SOPClassUID, one.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    one.Modality, one.Rows, one.Columns = "MG", *values.shape
    one.SamplesPerPixel, one.PixelRepresentation = 1, 0
    one.BitsAllocated, one.BitsStored, one.HighBit = 16, 12, 11
    one.ImagerPixelSpacing = [2.0, 2.0]
    one.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    one.PixelData = (4095 - values if inverted else values).astype("<u2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    one.save_as(path, enforce_file_format=True)
    return str(path)


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """Writes rows, headings first, as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
