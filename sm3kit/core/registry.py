"""Plugins are entry points, read as text and imported on use."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from sm3kit.core import plugin_files
from sm3kit.core.errors import BrokenPlugin, NameClash, UnknownName
from sm3kit.core.installed import Declaration, installed_plugins
from sm3kit.core.kinds import KINDS, Kind
from sm3kit.core.libraries import missing_library, pip_line
from sm3kit.core.names import unknown, unknown_plugin

T = TypeVar("T", bound=Callable[..., Any])


class Registry:
    """The members of one family: declared by installed distributions, or registered here."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._registered: dict[str, Any] = {}
        self._file_of: dict[str, Path] = {}

    def declarations(self, name: str | None = None) -> list[Declaration]:
        """All declarations, sorted by name, or those of one name.

        Raises:
            BrokenPlugin: a file that `--plugin` named cannot be imported.
        """
        declared = self._declarations(name)
        if declared and name is not None:
            return declared
        _import_files()
        return self._declarations(name)

    def _declarations(self, name: str | None) -> list[Declaration]:
        declared = list(installed_plugins()[self.kind.group])
        for registered, component in self._registered.items():
            target = f"{component.__module__}:{component.__qualname__}"
            file = self._file_of.get(registered)
            if file is None:
                line = Declaration(registered, target, "this session", "")
            else:
                api = plugin_files.api_of(file)
                line = Declaration(registered, target, file.name, "", api, str(file))
            declared.append(line)
        declared.sort(key=lambda line: (line.name, line.distribution))
        return declared if name is None else [line for line in declared if line.name == name]

    def names(self) -> list[str]:
        """The known names, sorted."""
        return sorted({line.name for line in self.declarations()})

    def get(self, name: str) -> Any:
        """The component behind a name, to be used; imported now if it was not before.

        A component that was written for another version of the plugin API is warned of, once.

        Raises:
            UnknownName: nothing has this name; near names are offered.
            NameClash: two distributions claim the name.
            BrokenPlugin: its import fails; the reason is in the message.
        """
        component = self.load(name)
        mismatch = self.declarations(name)[0].mismatch
        if mismatch:
            _warn_once(mismatch)
        return component

    def load(self, name: str) -> Any:
        """The component behind a name, to be looked at: as `get`, without a warning."""
        declared = self.declarations(name)
        if not declared:
            raise UnknownName(unknown_plugin(self.kind.noun, name, self.names()))
        if len(declared) > 1:
            claims = " and ".join(f"{line.origin} ({line.target})" for line in declared)
            raise NameClash(
                f"The {self.kind.noun} name {name!r} is claimed by {claims}. "
                "Uninstall one of them, or ask its author to rename it."
            )
        if name in self._registered:
            return self._registered[name]
        line = declared[0]
        try:
            return metadata.EntryPoint(line.name, line.target, self.kind.group).load()
        except Exception as error:
            library = missing_library(error, line.target.partition(":")[0])
            remedy = f"Fix or uninstall {line.distribution}."
            if library:
                remedy = f"Install what it needs: {pip_line(library)}"
            raise BrokenPlugin(
                f"The {self.kind.noun} {name!r} of {line.origin} cannot be imported from "
                f"{line.target}: {type(error).__name__}: {error}. {remedy}"
            ) from error

    def refuse_taken(self, name: str) -> None:
        """Makes sure that a name is free.

        Raises:
            NameClash: it is taken; the message says by what.
        """
        taken = self.declarations(name)
        if taken:
            raise NameClash(
                f"The {self.kind.noun} name {name!r} is taken by {taken[0].origin} "
                f"({taken[0].target}). Choose another name."
            )

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that adds a component under a name for this session, for notebooks and tests.

        Raises:
            NameClash: the name is taken.
        """

        def keep(component: T) -> T:
            self.refuse_taken(name)
            self._registered[name] = component
            file = _importing[-1] if _importing else plugin_files.file_of(component.__module__)
            if file is not None:
                self._file_of[name] = file
            return component

        return keep

    def unregister(self, name: str) -> None:
        """Forgets a component that `register` added."""
        self._registered.pop(name, None)
        self._file_of.pop(name, None)

    def names_from(self, file: Path) -> list[str]:
        """What a single file has registered, sorted."""
        return sorted(name for name, owner in self._file_of.items() if owner == file)


REGISTRIES: dict[str, Registry] = {family: Registry(kind) for family, kind in KINDS.items()}
_imported: set[Path] = set()
_importing: list[Path] = []


def registry(family: str) -> Registry:
    """The registry of a family such as "fusions".

    Raises:
        UnknownName: there is no such family.
    """
    if family not in REGISTRIES:
        raise UnknownName(unknown("plugin family", family, REGISTRIES))
    return REGISTRIES[family]


def registered_from(file: Path) -> list[tuple[str, str]]:
    """What a single file has registered: (family, name)."""
    return [
        (family, name)
        for family, members in REGISTRIES.items()
        for name in members.names_from(file)
    ]


def forget_file(file: Path) -> None:
    """Forgets a single file and all that it registered."""
    for family, name in registered_from(file):
        REGISTRIES[family].unregister(name)
    plugin_files.forget_module(file)
    _imported.discard(file)


@contextmanager
def with_plugin_files(files: Sequence[Path]) -> Iterator[None]:
    """Single files with plugins are known, also to processes that are started, within a block."""
    before = os.environ.get(plugin_files.VARIABLE)
    new = [file for file in files if file.resolve() not in plugin_files.named_files()]
    plugin_files.name_files(files)
    try:
        yield
    finally:
        for file in new:
            forget_file(file.resolve())
        if before is None:
            del os.environ[plugin_files.VARIABLE]
        else:
            os.environ[plugin_files.VARIABLE] = before


def _import_files() -> None:
    for file in plugin_files.named_files():
        if file in _imported:
            continue
        # Noted first: what registers in it asks for the known names again.
        _imported.add(file)
        if plugin_files.file_of(file.stem) == file:
            continue  # Objects of it came pickled, and it is being imported for their sake.
        _importing.append(file)
        try:
            plugin_files.import_file(file)
            if not registered_from(file):
                raise BrokenPlugin(
                    f"The plugin file {file} registers nothing. Put @register(family, name) from "
                    "sm3kit.api above its class."
                )
        except BrokenPlugin:
            forget_file(file)
            raise
        finally:
            _importing.pop()


@functools.cache
def _warn_once(text: str) -> None:
    logging.getLogger("sm3kit").warning("warning: %s", text)
