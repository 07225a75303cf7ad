"""Whose scans they are: images of different people are never one study."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from sm3kit.api import DataError, OptionError
from sm3kit_volumes.parts import parted
from sm3kit_volumes.readers import dicom
from sm3kit_volumes.readers.opening import DICOM, SUFFIXES


def pattern(text: str) -> re.Pattern[str] | None:
    """The regular expression of an option `patient`; None where it is empty.

    Raises:
        OptionError: it is no regular expression.
    """
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise OptionError(
            f"The option 'patient' is not a valid regular expression: {error}."
        ) from error


def same_person(
    study: str, images: Mapping[str, str], root: Path, token: re.Pattern[str] | None
) -> str:
    """The patient of a study, "" where nothing tells.

    Tells: the first group of `token`, or all of it, in the path below `root`; the PatientID of
    DICOM files.

    Raises:
        DataError: two images are of different people; the message names both.
    """
    for tell in (lambda path: _in_name(path, root, token), _in_header):
        found = {name: person for name, path in images.items() if (person := tell(path))}
        if len(set(found.values())) > 1:
            (one, first), *others = found.items()
            other, second = next(pair for pair in others if pair[1] != first)
            raise DataError(
                f"Study {study!r} pairs different people: {one} ({images[one]}) is of {first!r}, "
                f"{other} ({images[other]}) of {second!r}. Make a study of each."
            )
        if found:
            return next(iter(found.values()))
    return ""


def _in_name(path: str, root: Path, token: re.Pattern[str] | None) -> str:
    file = parted(path)[0]
    text = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()
    match = token.search(text) if token else None
    return "" if match is None else match.group(1 if match.re.groups else 0) or ""


def _in_header(path: str) -> str:
    file = parted(path)[0]
    other = file.name.lower().endswith(SUFFIXES) and not file.name.lower().endswith(DICOM)
    there = os.path.exists(file)  # noqa: PTH110  Path stumbles over a name that is too long.
    return "" if other or not there else dicom.patient_of(file)
