"""Peak memory and time of one slice of a CT of 512 x 512 x 600, against the whole of it (Linux).

Run: python benchmarks/one_slice.py [FOLDER]. It writes 0.3 GB of .nii and less of .nii.gz.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np

SHAPE = (512, 512, 600)
WAYS = ("nothing", "axial", "coronal", "mip", "whole")


def write(path: Path) -> None:
    """A CT with the noise of a scanner, which decides how well it is compressed."""
    rng = np.random.default_rng(0)
    plane = rng.normal(0, 20, (*SHAPE[:2], 8)).astype(np.int16)
    inside = np.hypot(*np.mgrid[-1:1:512j, -1:1:512j]) < 0.8
    plane = np.where(inside[..., np.newaxis], plane, -1000)
    voxels = np.tile(plane, (1, 1, SHAPE[2] // 8)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.9, 0.9, 1.5, 1.0])), path)


def read(path: str, way: str) -> None:
    """Reads a slice, a projection or all of a file."""
    from sm3kit_volumes.modalities.ct import CT

    if way == "whole":
        np.asarray(nibabel.load(path).get_fdata(dtype=np.float32))
    elif way == "mip":
        CT(224, policy="mip", axis="coronal").read(path)
    elif way != "nothing":
        CT(224, axis=way).read(path)


def measure(path: str, way: str, answers: multiprocessing.Queue[tuple[float, float]]) -> None:
    """Seconds, and the peak memory of a fresh process in MiB."""
    read(path, "nothing")
    start = time.perf_counter()
    read(path, way)
    seconds = time.perf_counter() - start
    # Not getrusage, whose peak a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    answers.put((seconds, int(status.partition("VmHWM:")[2].split()[0]) / 1024))


def main() -> None:
    """Prints a table."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        print(f"{'file':<12}{'read':<10}{'seconds':>9}{'MiB above nothing':>20}")
        for name in ("ct.nii", "ct.nii.gz"):
            path = Path(folder) / name
            write(path)
            start = 0.0
            for way in WAYS:
                answers = context.Queue()
                process = context.Process(target=measure, args=(str(path), way, answers))
                process.start()
                seconds, peak = answers.get()
                process.join()
                if way == "nothing":
                    start = peak
                else:
                    print(f"{name:<12}{way:<10}{seconds:>9.2f}{peak - start:>20.0f}")


if __name__ == "__main__":
    main()
