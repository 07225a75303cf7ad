"""Whether sm3kit can write where it has to, and whether there is room."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sm3kit.core.errors import SM3Error
from sm3kit.core.files import cache_root
from sm3kit.core.text import in_units
from sm3kit.data.bounded_folder import GIB
from sm3kit.diagnosis.finding import Finding
from sm3kit.networks.cache_folders import Holding, holdings

SECTION = "folders"
LITTLE = 2 * GIB  # A run with a ResNet-50 per modality and its checkpoints takes about one.
NEARLY_FULL = 0.95


def folders() -> Iterator[Finding]:
    """The cache, its parts, and the folder in which runs/ would be made."""
    cache, here = cache_root(), Path.cwd()
    yield _writable("cache", cache, "export SM3KIT_CACHE=/a/folder/of/yours")
    yield from _parts(cache)
    yield _writable("here", here, "cd ~  # or give --out a folder that you may write to")
    for folder in dict.fromkeys(_existing(one) for one in (cache, here)):
        free = shutil.disk_usage(folder).free
        text = f"{in_units(free)} free under {folder}"
        if free < LITTLE:
            yield Finding(SECTION, "disk", "hint", text, "sm3kit cache clear")
        else:
            yield Finding(SECTION, "disk", "ok", text)


def _writable(name: str, folder: Path, remedy: str) -> Finding:
    there = _existing(folder)
    try:
        # A permission may stand for more or less than what a network disk does.
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        text = f"{folder} cannot be written: {error.strerror or error}"
        return Finding(SECTION, name, "broken", text, remedy)
    new = "" if there == folder else ", not there yet"
    return Finding(SECTION, name, "ok", f"{folder}{new}")


def _parts(cache: Path) -> Iterator[Finding]:
    try:
        found = holdings()
    except SM3Error as error:
        yield Finding(SECTION, "limit", "broken", str(error), "unset SM3KIT_CACHE_LIMIT")
        return
    for one in found:
        yield _part(one, shutil.disk_usage(_existing(cache)).free)


def _part(one: Holding, free: int) -> Finding:
    text = f"{in_units(one.bytes)} in {one.files:,} files"
    if one.limit is None:
        return Finding(SECTION, one.name, "ok", text)
    text += f", of {in_units(one.limit)} at most"
    if one.bytes > NEARLY_FULL * one.limit:
        text += "; full: what was used longest ago goes, and is made again when it is needed"
        remedy = f"export SM3KIT_CACHE_LIMIT={2 * one.limit / GIB:g}"
        return Finding(SECTION, one.name, "hint", text, remedy)
    if one.limit - one.bytes > free:
        text += f", but the disk has only {in_units(free)} left"
        remedy = f"export SM3KIT_CACHE_LIMIT={max(0.1, (one.bytes + free / 3) / GIB):.1f}"
        return Finding(SECTION, one.name, "hint", text, remedy)
    return Finding(SECTION, one.name, "ok", text)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  links stay as they are named
    return next(one for one in (folder, *folder.parents) if one.exists())
