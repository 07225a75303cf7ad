"""Libraries that are imported when a file first needs them."""

from __future__ import annotations

import importlib
from typing import Any

from sm3kit.api import DataError
from sm3kit.core.libraries import hush

WHEELS = {"nibabel": "nibabel", "pydicom": "pydicom", "SimpleITK": "SimpleITK"}


def library(name: str, what: str) -> Any:
    """A module, or one of its submodules, by name.

    Args:
        what: what it is for, as the message says it: "NIfTI files".

    Raises:
        DataError: it is not installed; the message has the line that installs it.
    """
    hush(name.partition(".")[0])
    try:
        return importlib.import_module(name)
    except ImportError as error:
        wheel = WHEELS[name.partition(".")[0]]
        raise DataError(
            f"{what} are read with {wheel}, which cannot be imported ({error}). "
            f"Install it: pip install {wheel}"
        ) from error
