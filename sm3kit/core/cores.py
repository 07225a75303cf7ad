"""How many cores there are to work with."""

from __future__ import annotations

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")


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
