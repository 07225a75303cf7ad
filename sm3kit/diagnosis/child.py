"""Imports things in a process of its own, and tells line by line how that went."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sm3kit.core.errors import SM3Error
from sm3kit.core.plugin_files import import_file


def main(targets: list[str]) -> None:
    """Imports each `module`, `module:name` or `file.py` and writes JSON lines to stdout.

    A line before each import, so that a crash shows where it happened, and one after it with
    the error or some facts. Whatever the libraries print goes nowhere.
    """
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        for target in targets:
            _tell(out, {"begun": target})
            _tell(out, {"done": target, **_tried(target)})
        out.flush()
        os._exit(0)  # Libraries that crash when they are taken down have been imported well.


def _tell(out: Any, line: dict[str, Any]) -> None:
    out.write(json.dumps(line) + "\n")
    out.flush()


def _tried(target: str) -> dict[str, Any]:
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
            [torch.cuda.get_device_name(one), torch.cuda.get_device_properties(one).total_memory]
            for one in range(torch.cuda.device_count())
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
