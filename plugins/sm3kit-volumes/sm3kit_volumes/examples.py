"""Small drawn bodies, written as files, to try things on."""

from __future__ import annotations

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
