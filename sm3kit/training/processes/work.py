"""What a process was started for by another one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from sm3kit.core.libraries import number

# Where a first process tells those that it starts what they work on, behind its own number.
WORK = "SM3KIT_WORK"
ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
# What a first process has in its environment beside it while the others are there.
WHILE_TOGETHER = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", *ADDRESS)


@dataclass(frozen=True)
class Work:
    """What several processes do together.

    Attributes:
        folder: of the run that is trained or evaluated.
        result: of an evaluation, the files that it makes; empty for a training.
    """

    folder: Path
    result: str = ""


def given_work() -> Work | None:
    """What this process was started for by another one; None if nobody started it."""
    process, _, told = os.environ.get(WORK, "").partition(" ")
    if not number("LOCAL_RANK") or not process.isdecimal():
        return None
    family = [os.getpid(), *(parent.pid for parent in psutil.Process().parents())]
    if int(process) not in family:
        return None  # It was left in a shell.
    folder, result = json.loads(told)
    return Work(Path(folder), result)


@contextmanager
def tell_work(work: Work) -> Iterator[None]:
    """Tells the processes that are started meanwhile what they work on, and cleans up after it."""
    before = {name: os.environ.get(name) for name in (WORK, *WHILE_TOGETHER)}
    os.environ[WORK] = f"{os.getpid()} {json.dumps([str(work.folder), work.result])}"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
