"""Plugins are entry points, read as text and imported on use."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, TypeVar

from sm3kit.core.errors import BrokenPlugin, NameClash, UnknownName
from sm3kit.core.kinds import KINDS, Kind
from sm3kit.core.names import unknown

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declaration:
    """One line of a distribution's entry points: a name, where it leads, and who says so."""

    name: str
    target: str
    distribution: str
    version: str

    @property
    def origin(self) -> str:
        """The distribution and its version, as people write it."""
        return f"{self.distribution} {self.version}".strip()


@functools.cache
def _installed() -> dict[str, list[Declaration]]:
    """Every declaration of every family, from one pass over the installed distributions."""
    found: dict[str, list[Declaration]] = {kind.group: [] for kind in KINDS.values()}
    seen: set[str] = set()
    for distribution in metadata.distributions():
        text = distribution.read_text("entry_points.txt")
        if text is None or "sm3kit." not in text:
            continue
        # A folder on sys.path can show one distribution twice; the first hides the others.
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
        if name in seen:
            continue
        seen.add(name)
        for entry in _entries(distribution):
            if entry.group in found:
                found[entry.group].append(
                    Declaration(entry.name, entry.value, name, distribution.version)
                )
    return found


def _entries(distribution: metadata.Distribution) -> list[metadata.EntryPoint]:
    try:
        return list(distribution.entry_points)
    except TypeError:  # A line without "=": no installer writes it, and it hides nobody else's.
        return []


class Registry:
    """The members of one family: declared by installed distributions, or registered here."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._registered: dict[str, Any] = {}

    def declarations(self, name: str | None = None) -> list[Declaration]:
        """All declarations, sorted by name, or those of one name."""
        declared = list(_installed()[self.kind.group])
        for registered, component in self._registered.items():
            target = f"{component.__module__}:{component.__qualname__}"
            declared.append(Declaration(registered, target, "this session", ""))
        declared.sort(key=lambda one: (one.name, one.distribution))
        return declared if name is None else [one for one in declared if one.name == name]

    def names(self) -> list[str]:
        """The known names, sorted."""
        return sorted({one.name for one in self.declarations()})

    def get(self, name: str) -> Any:
        """The component behind a name, imported now if it was not before.

        Raises:
            UnknownName: nothing has this name; near names are offered.
            NameClash: two distributions claim the name.
            BrokenPlugin: its import fails; the reason is in the message.
        """
        declared = self.declarations(name)
        if not declared:
            raise UnknownName(unknown(self.kind.noun, name, self.names()))
        if len(declared) > 1:
            claims = " and ".join(f"{one.origin} ({one.target})" for one in declared)
            raise NameClash(
                f"The {self.kind.noun} name {name!r} is claimed by {claims}. "
                "Uninstall one of them, or ask its author to rename."
            )
        if name in self._registered:
            return self._registered[name]
        one = declared[0]
        try:
            return metadata.EntryPoint(one.name, one.target, self.kind.group).load()
        except Exception as error:
            raise BrokenPlugin(
                f"The {self.kind.noun} {name!r} of {one.origin} cannot be imported from "
                f"{one.target}: {type(error).__name__}: {error}. Repair or uninstall {one.distribution}."
            ) from error

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that adds a component under a name for this session, for notebooks and tests.

        Raises:
            NameClash: the name is taken.
        """

        def keep(component: T) -> T:
            taken = self.declarations(name)
            if taken:
                raise NameClash(
                    f"The {self.kind.noun} name {name!r} is taken by {taken[0].origin} "
                    f"({taken[0].target}). Choose another name."
                )
            self._registered[name] = component
            return component

        return keep

    def unregister(self, name: str) -> None:
        """Forgets a component that `register` added."""
        self._registered.pop(name, None)


REGISTRIES: dict[str, Registry] = {family: Registry(kind) for family, kind in KINDS.items()}


def registry(family: str) -> Registry:
    """The registry of a family such as "fusions".

    Raises:
        UnknownName: there is no such family.
    """
    if family not in REGISTRIES:
        raise UnknownName(unknown("plugin family", family, REGISTRIES))
    return REGISTRIES[family]
