"""Cores and threads, memory, and what the terminal can show."""

from __future__ import annotations

import locale
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from sm3kit.core.text import in_units
from sm3kit.data.bounded_folder import GIB
from sm3kit.diagnosis.finding import Finding
from sm3kit.diagnosis.importing import Tried

SECTION = "machine"
NARROWEST = 60
QUOTA = Path("/sys/fs/cgroup/cpu.max")
SHARED = Path("/dev/shm")


def machine(results: Mapping[str, Tried]) -> Iterator[Finding]:
    """What a training has to work with."""
    cores = usable_cores()
    torch = results["torch"]
    if not torch.error:
        yield _threads(cores, torch.facts["threads"])
    yield _load(cores)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        yield Finding(SECTION, "memory", "ok", in_units(memory))
    if SHARED.is_dir():
        yield _shared(shutil.disk_usage(SHARED).total)
    yield _locale()
    width = shutil.get_terminal_size().columns
    if width < NARROWEST:
        text = f"{width} columns; tables want {NARROWEST}"
        yield Finding(SECTION, "terminal", "hint", text, "stty columns 80  # or a wider window")
    else:
        yield Finding(SECTION, "terminal", "ok", f"{width} columns")


def usable_cores(quota: Path = QUOTA) -> int:
    """The cores that this process may use: of the machine, its affinity, and its container."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    if quota.is_file():
        share, _, period = quota.read_text(encoding="ascii").partition(" ")
        if share.isdecimal():
            cores = min(cores, max(1, math.ceil(int(share) / int(period))))
    return cores


def _threads(cores: int, threads: int) -> Finding:
    chosen = os.environ.get("OMP_NUM_THREADS")
    said = f", for OMP_NUM_THREADS is {chosen}" if chosen else ""
    text = f"{threads} of PyTorch on {cores} usable core{'s' if cores > 1 else ''}{said}"
    if threads > cores:
        text += "; more threads than cores wait for each other"
        return Finding(SECTION, "threads", "hint", text, f"export OMP_NUM_THREADS={cores}")
    return Finding(SECTION, "threads", "ok", text)


def _load(cores: int) -> Finding:
    if not hasattr(os, "getloadavg"):
        return Finding(SECTION, "load", "ok", "this system does not tell")
    load = os.getloadavg()[1]
    text = f"{load:.1f} in the last five minutes"
    if load > 1.5 * cores:
        return Finding(SECTION, "load", "hint", f"{text}: other programs use the cores", "top")
    return Finding(SECTION, "load", "ok", text)


def _shared(size: int) -> Finding:
    text = f"{in_units(size)} in {SHARED}"
    if size < GIB:
        text += "; processes that prepare views (--workers) may run out of it"
        return Finding(SECTION, "shared", "hint", text, "docker run --shm-size=8g …")
    return Finding(SECTION, "shared", "ok", text)


def _locale() -> Finding:
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") in ("utf8", "cp65001"):
        return Finding(SECTION, "locale", "ok", encoding)
    text = f"{encoding}: names outside of it cannot be printed"
    return Finding(SECTION, "locale", "hint", text, "export PYTHONUTF8=1")
