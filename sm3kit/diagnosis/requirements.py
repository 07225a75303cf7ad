"""Whether what distributions require of each other is what is installed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Unmet:
    """A requirement that what is installed does not meet; `installed` is empty where nothing is."""

    by: str
    requirement: str
    project: str
    installed: str


def unmet(root: str) -> list[Unmet]:
    """What a distribution requires, itself or through others, and does not find."""
    wrong: dict[tuple[str, str], Unmet] = {}
    left, seen = [(root, frozenset[str]())], set()
    while left:
        here = left.pop()
        if here in seen:
            continue
        seen.add(here)
        name, extras = here
        for one in required(name, extras):
            installed = version(one.name)
            if not installed or not one.specifier.contains(installed, prereleases=True):
                plain = f"{one.name}{one.specifier}"
                wrong[name, plain] = Unmet(name, plain, one.name, installed)
            if installed:
                left.append((str(canonicalize_name(one.name)), frozenset(one.extras)))
    return list(wrong.values())


def required(name: str, extras: frozenset[str] = frozenset()) -> list[Requirement]:
    """What an installed distribution asks for on this machine."""
    found = [Requirement(text) for text in metadata.requires(name) or ()]
    return [
        one
        for one in found
        if one.marker is None
        or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def version(name: str) -> str:
    """The installed version, or nothing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
