"""All that is looked at, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sm3kit.diagnosis.declared import declared
from sm3kit.diagnosis.finding import Finding
from sm3kit.diagnosis.folders import folders
from sm3kit.diagnosis.gpus import gpus
from sm3kit.diagnosis.importing import PATIENCE, tried
from sm3kit.diagnosis.libraries import MODULES, libraries
from sm3kit.diagnosis.machine import machine
from sm3kit.diagnosis.plugins import plugins, targets


def examine(patience: float = PATIENCE) -> list[Finding]:
    """Looks at the installation and the machine; changes nothing.

    Libraries and plugins are imported in another process, for at most `patience` seconds each
    time.
    """
    results = tried([*MODULES, *targets()], patience)
    parts: list[Callable[[], Iterator[Finding]]] = [
        lambda: libraries(results),
        lambda: gpus(results),
        declared,
        lambda: plugins(results),
        folders,
        lambda: machine(results),
    ]
    return [finding for part in parts for finding in part()]
