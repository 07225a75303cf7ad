"""What was looked at, and how: imports are tried in a process of their own, which may crash."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sm3kit.core.errors import SM3Error
from sm3kit.core.plugin_files import import_file

Level = Literal["ok", "hint", "broken"]
PATIENCE = 300  # Seconds: torch from a cold network disk takes a minute.
CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from sm3kit.diagnosis.finding import import_all; import_all(sys.argv[2:])"
)


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
    command = shutil.which("pip")
    if command and Path(command).parent == folder:
        return "pip"
    beside = folder / "pip"
    if not beside.is_file():
        return f"{sys.executable} -m pip"
    near = os.path.relpath(beside)
    return str(beside) if near.startswith("..") else near


@dataclass(frozen=True)
class ImportTrial:
    """How an import went: an error, or facts about what was imported."""

    error: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def try_imports(targets: Sequence[str], patience: float = PATIENCE) -> dict[str, ImportTrial]:
    """Imports each `module`, `module:name` or `file.py`, in order, in one other process.

    After a crash, or when `patience` seconds have passed, a new process takes those that are left.
    """
    trials: dict[str, ImportTrial] = {}
    left = list(dict.fromkeys(targets))
    while left:
        lines, end = _import_in_child(left, patience)
        for line in lines:
            if "done" in line:
                trials[line["done"]] = ImportTrial(line["error"], line["facts"])
        left = [target for target in left if target not in trials]
        if left:  # The first of them is where the process ended.
            trials[left.pop(0)] = ImportTrial(end)
    return trials


def _import_in_child(targets: list[str], patience: float) -> tuple[list[dict[str, Any]], str]:
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
    return _lines(done.stdout), f"the import crashes Python with {_end(done.returncode)}"


def _lines(output: bytes) -> list[dict[str, Any]]:
    whole, _, _ = output.decode(errors="replace").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def _end(code: int) -> str:
    if code < 0 and os.name == "posix":
        return signal.Signals(-code).name
    return f"exit code {code}"


def import_all(targets: list[str]) -> None:
    """Imports each `module`, `module:name` or `file.py` and writes JSON lines to stdout.

    A line before each import, so that a crash shows where it happened, and one after it with
    the error or some facts. Whatever the libraries print goes nowhere.
    """
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        for target in targets:
            _write_line(out, {"begun": target})
            _write_line(out, {"done": target, **_try(target)})
        out.flush()
        os._exit(0)  # Libraries that crash when they are taken down have been imported well.


def _write_line(out: Any, line: dict[str, Any]) -> None:
    out.write(json.dumps(line) + "\n")
    out.flush()


def _try(target: str) -> dict[str, Any]:
    name, _, attribute = target.partition(":")
    try:
        if target.endswith(".py"):
            import_file(Path(target))
            return {"error": "", "facts": {}}
        module = importlib.import_module(name)
        for part in filter(None, attribute.split(".")):
            module = getattr(module, part)
        return {"error": "", "facts": FACTS[target](module) if target in FACTS else {}}
    except SM3Error as error:
        return {"error": str(error), "facts": {}}
    except BaseException as error:  # A library's SystemExit is an answer, too.
        reason = " ".join(str(error).split())[:300]
        return {"error": f"{type(error).__name__}: {reason}".rstrip(": "), "facts": {}}


def _torch(torch: Any) -> dict[str, Any]:
    gpus = []
    if torch.cuda.is_available():
        gpus = [
            [
                torch.cuda.get_device_name(number),
                torch.cuda.get_device_properties(number).total_memory,
            ]
            for number in range(torch.cuda.device_count())
        ]
    return {
        "cuda": torch.version.cuda,
        "hip": getattr(torch.version, "hip", None),
        "gpus": gpus,
        "mps": torch.backends.mps.is_available(),
        "threads": torch.get_num_threads(),
    }


def _faiss(faiss: Any) -> dict[str, Any]:
    return {"gpus": faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0}


FACTS: dict[str, Callable[[Any], dict[str, Any]]] = {"torch": _torch, "faiss": _faiss}
