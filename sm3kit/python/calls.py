"""What all calls from Python have in common: keywords that are checked, and how values are taken."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from sm3kit.core.errors import OptionError, UnknownKeyword
from sm3kit.core.names import suggestion
from sm3kit.data.progress import Reporter, open_console
from sm3kit.python.surroundings import Surroundings

P = ParamSpec("P")
T = TypeVar("T")
# One value, or several of them.
Words = str | Sequence[str]
File = str | os.PathLike[str]


class HasFolder(Protocol):
    """What lies in a folder, such as a run."""

    @property
    def folder(self) -> Path:
        """The folder."""


# A run as users name it: opened, or by its folder.
RunLike = HasFolder | File


def check_keywords(function: Callable[P, T]) -> Callable[P, T]:
    """A decorator for functions that users call: an unknown keyword is answered with a near one.

    Raises:
        UnknownKeyword: the function has no such keyword.
    """
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY and p.name != "self"]

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        for name in kwargs:
            if name not in names:
                raise UnknownKeyword(
                    f"{function.__name__}() has no keyword {name!r}. {suggestion(name, names)}"
                    f"Known: {', '.join(names)}."
                )
        return function(*args, **kwargs)

    return checked


def surroundings(*, quiet: bool, cache: bool = True) -> Surroundings:
    """A reporter on the standard output, and the user's caches or none."""
    return Surroundings.of_user(Reporter(open_console(), quiet), cache=cache)


def words(value: Words | None) -> tuple[str, ...]:
    """One word, several, or none, as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def folder_of(run: RunLike) -> Path:
    """The folder of a run."""
    return Path(run) if isinstance(run, str | os.PathLike) else run.folder


def nested(options: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """{owner: {option: value}} of {"owner.option": value}; tables of options are taken as well."""
    table: dict[str, dict[str, Any]] = {}
    for address, value in addressed(options):
        owner, _, name = address.rpartition(".")
        if not owner:
            raise OptionError(
                f"options wants names such as 'simclr.temperature', with the owner before the dot; "
                f"not {address!r}."
            )
        table.setdefault(owner, {})[name] = value
    return table


def addressed(options: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """("owner.option", value) of options, each of them by its address or in the table of its owner."""
    settings: list[tuple[str, Any]] = []
    for name, value in (options or {}).items():
        if isinstance(value, Mapping) and "." not in name:
            settings += [(f"{name}.{option}", inner) for option, inner in value.items()]
        else:
            settings.append((name, value))
    return settings
