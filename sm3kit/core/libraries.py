"""Libraries of others: what to install where one is missing, and how to keep one quiet."""

from __future__ import annotations

import functools
import logging
import re
import warnings

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
