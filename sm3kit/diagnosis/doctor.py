"""What `sm3kit doctor` looks at, in its order: libraries, plugins, folders and the machine."""

from __future__ import annotations

import locale
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sm3kit.core.cores import usable_cores
from sm3kit.core.errors import SM3Error
from sm3kit.core.files import cache_root
from sm3kit.core.text import in_units
from sm3kit.data.cache_folders import GIB, Holding, holdings
from sm3kit.diagnosis.finding import PATIENCE, Finding, ImportTrial, try_imports
from sm3kit.diagnosis.libraries import MODULES, gpus, libraries
from sm3kit.diagnosis.plugins import check_checkouts, plugins, targets

NARROWEST = 60
SHARED = Path("/dev/shm")
LITTLE = 2 * GIB  # A run with a ResNet-50 per modality and its checkpoints takes about one.
NEARLY_FULL = 0.95


def machine(results: Mapping[str, ImportTrial]) -> Iterator[Finding]:
    """What a training has to work with."""
    cores = usable_cores()
    torch = results["torch"]
    if not torch.error:
        yield _threads(cores, torch.facts["threads"])
    yield _load(cores)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        yield Finding("machine", "memory", "ok", in_units(memory))
    if SHARED.is_dir():
        yield _shared_memory(shutil.disk_usage(SHARED).total)
    yield _locale()
    width = shutil.get_terminal_size().columns
    if width < NARROWEST:
        text = f"{width} columns; tables need {NARROWEST}"
        yield Finding("machine", "terminal", "hint", text, "stty columns 80  # or a wider window")
    else:
        yield Finding("machine", "terminal", "ok", f"{width} columns")


def _threads(cores: int, threads: int) -> Finding:
    chosen = os.environ.get("OMP_NUM_THREADS")
    reason = f", because OMP_NUM_THREADS is {chosen}" if chosen else ""
    text = f"{threads} in PyTorch, {cores} usable core{'s' if cores > 1 else ''}{reason}"
    if threads > cores:
        text += "; more threads than cores slow each other down"
        return Finding("machine", "threads", "hint", text, f"export OMP_NUM_THREADS={cores}")
    return Finding("machine", "threads", "ok", text)


def _load(cores: int) -> Finding:
    if not hasattr(os, "getloadavg"):
        return Finding("machine", "load", "ok", "not available on this system")
    load = os.getloadavg()[1]
    text = f"{load:.1f} over the last five minutes"
    if load > 1.5 * cores:
        return Finding(
            "machine", "load", "hint", f"{text}: other programs are using the cores", "top"
        )
    return Finding("machine", "load", "ok", text)


def _shared_memory(size: int) -> Finding:
    text = f"{in_units(size)} in {SHARED}"
    if size < GIB:
        text += "; data loading processes (--workers) may run out of it"
        return Finding("machine", "shared", "hint", text, "docker run --shm-size=8g …")
    return Finding("machine", "shared", "ok", text)


def _locale() -> Finding:
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") in ("utf8", "cp65001"):
        return Finding("machine", "locale", "ok", encoding)
    text = f"{encoding}: other characters cannot be printed"
    return Finding("machine", "locale", "hint", text, "export PYTHONUTF8=1")


def folders() -> Iterator[Finding]:
    """The cache, its parts, and the folder in which runs/ would be made."""
    cache, here = cache_root(), Path.cwd()
    yield _write_access("cache", cache, "export SM3KIT_CACHE=/a/folder/of/yours")
    yield from _parts(cache)
    yield _write_access("here", here, "cd ~  # or give --out a folder that you may write to")
    for folder in dict.fromkeys(_nearest_existing(folder) for folder in (cache, here)):
        free = shutil.disk_usage(folder).free
        text = f"{in_units(free)} free under {folder}"
        if free < LITTLE:
            yield Finding("folders", "disk", "hint", text, "sm3kit cache clear")
        else:
            yield Finding("folders", "disk", "ok", text)


def _write_access(name: str, folder: Path, remedy: str) -> Finding:
    parent = _nearest_existing(folder)
    try:
        # A permission may stand for more or less than what a network disk does.
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        text = f"cannot write to {folder}: {error.strerror or error}"
        return Finding("folders", name, "broken", text, remedy)
    new = "" if parent == folder else ", does not exist yet"
    return Finding("folders", name, "ok", f"{folder}{new}")


def _parts(cache: Path) -> Iterator[Finding]:
    try:
        parts = holdings()
    except SM3Error as error:
        yield Finding("folders", "limit", "broken", str(error), "unset SM3KIT_CACHE_LIMIT")
        return
    for holding in parts:
        yield _part(holding, shutil.disk_usage(_nearest_existing(cache)).free)


def _part(holding: Holding, free: int) -> Finding:
    text = f"{in_units(holding.bytes)} in {holding.files:,} files"
    if holding.limit is None:
        return Finding("folders", holding.name, "ok", text)
    text += f", limit {in_units(holding.limit)}"
    if holding.bytes > NEARLY_FULL * holding.limit:
        text += "; full: the least recently used files are removed, and recreated when needed"
        remedy = f"export SM3KIT_CACHE_LIMIT={2 * holding.limit / GIB:g}"
        return Finding("folders", holding.name, "hint", text, remedy)
    if holding.limit - holding.bytes > free:
        text += f", but the disk has only {in_units(free)} free"
        remedy = f"export SM3KIT_CACHE_LIMIT={max(0.1, (holding.bytes + free / 3) / GIB):.1f}"
        return Finding("folders", holding.name, "hint", text, remedy)
    return Finding("folders", holding.name, "ok", text)


def _nearest_existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  links stay as they are named
    return next(candidate for candidate in (folder, *folder.parents) if candidate.exists())


def diagnose(patience: float = PATIENCE) -> list[Finding]:
    """Looks at the installation and the machine; changes nothing.

    Libraries and plugins are imported in another process, for at most `patience` seconds each
    time.
    """
    results = try_imports([*MODULES, *targets()], patience)
    parts: list[Callable[[], Iterator[Finding]]] = [
        lambda: libraries(results),
        lambda: gpus(results),
        check_checkouts,
        lambda: plugins(results),
        folders,
        lambda: machine(results),
    ]
    return [finding for part in parts for finding in part()]
