"""One thing that was looked at: well, worth a hint, or broken."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["ok", "hint", "broken"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and a command or sentence that mends it."""

    section: str
    name: str
    level: Level
    text: str
    remedy: str = ""


def pip() -> str:
    """The words that call pip for this interpreter, as short as they can be."""
    folder = Path(sys.executable).parent
    found = shutil.which("pip")
    if found and Path(found).parent == folder:
        return "pip"
    beside = folder / "pip"
    if not beside.is_file():
        return f"{sys.executable} -m pip"
    near = os.path.relpath(beside)
    return str(beside) if near.startswith("..") else near
