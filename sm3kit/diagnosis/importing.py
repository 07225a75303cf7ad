"""Tries imports without this process being harmed: what crashes or hangs becomes a sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 300  # Seconds: torch from a cold network disk takes a minute.
CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from sm3kit.diagnosis.child import main; main(sys.argv[2:])"
)


@dataclass(frozen=True)
class Tried:
    """How an import went: an error, or facts about what was imported."""

    error: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def tried(targets: Sequence[str], patience: float = PATIENCE) -> dict[str, Tried]:
    """Imports each `module`, `module:name` or `file.py`, in order, in one other process.

    After a crash, or when `patience` seconds have passed, a new process takes those that are left.
    """
    found: dict[str, Tried] = {}
    left = list(dict.fromkeys(targets))
    while left:
        lines, end = _run(left, patience)
        for line in lines:
            if "done" in line:
                found[line["done"]] = Tried(line["error"], line["facts"])
        left = [one for one in left if one not in found]
        if left:  # The first of them is where the process ended.
            found[left.pop(0)] = Tried(end)
    return found


def _run(targets: list[str], patience: float) -> tuple[list[dict[str, Any]], str]:
    """The lines of a child, and why there are no more."""
    command = [sys.executable, "-c", CODE, json.dumps(sys.path), *targets]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return _lines(error.stdout or b""), f"the import takes longer than {patience:g} s"
    return _lines(done.stdout), f"the import ends Python with {_ended(done.returncode)}"


def _lines(output: bytes) -> list[dict[str, Any]]:
    whole, _, _ = output.decode(errors="replace").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def _ended(code: int) -> str:
    if code < 0 and os.name == "posix":
        return signal.Signals(-code).name
    return f"exit code {code}"
