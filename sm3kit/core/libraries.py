"""Libraries of others: what to install, how to keep one quiet, and the environment they read."""

from __future__ import annotations

import functools
import logging
import os
import re
import warnings

from sm3kit.core.errors import VariantError

# Where the project on PyPI is called differently from what is imported.
PROJECTS = {
    "Bio": "biopython",
    "PIL": "pillow",
    "attr": "attrs",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "faiss": "faiss-cpu",
    "gdcm": "python-gdcm",
    "openslide": "openslide-python",
    "osgeo": "gdal",
    "pylibjpeg": "pylibjpeg[all]",
    "pywt": "PyWavelets",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}


def pip_line(module: str) -> str:
    """The command that installs the library behind an import, such as `pip install pyyaml`."""
    root = module.partition(".")[0]
    return f"pip install {PROJECTS.get(root, root)}"


def missing_library(error: BaseException, own: str) -> str:
    """The library whose absence an error is about, or nothing.

    Args:
        error: what an import raised.
        own: the module that was imported; parts of it are no library.
    """
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    root = error.name.partition(".")[0]
    return "" if root == own.partition(".")[0] else root


@functools.cache
def hush(library: str) -> None:
    """Keeps the warnings and the log of a library from the terminal; once in a process.

    What it warns of is either of no matter, or refused in words of our own.
    """
    warnings.filterwarnings("ignore", module=rf"{re.escape(library)}(\.|$)")
    logging.getLogger(library).setLevel(logging.CRITICAL)


RANKS = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE"),
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS"),
    *("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE"),
    *("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
)
THREADS = "OMP_NUM_THREADS"


def settle_numbers() -> None:
    """Makes sure that numbers are numbers, before a library reads them; what is empty is unset.

    Raises:
        VariantError: one is something else.
    """
    for name in (*RANKS, THREADS):
        if not os.environ.get(name, "unset").strip():
            del os.environ[name]
        if name in RANKS:
            number(name)
    counts = os.environ.get(THREADS, "1").split(",")  # One for each level of nesting.
    if not all(count.strip().isdecimal() and int(count) for count in counts):
        raise _refusal(THREADS)


def number(name: str, default: int = 0) -> int:
    """A whole number in the environment; the default where there is none.

    Raises:
        VariantError: it is something else.
    """
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise _refusal(name) from None


def looks_launched() -> bool:
    """Whether a launcher seems to have started several processes."""
    return any((os.environ.get(name) or "1") != "1" for name in ("WORLD_SIZE", "SLURM_NTASKS"))


def _refusal(name: str) -> VariantError:
    return VariantError(
        f"The environment variable {name} must be a number, not {os.environ[name]!r}. Run "
        f"`unset {name}` first."
    )
