"""What all calls from Python have in common: keywords that are checked, and how values are taken."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, ParamSpec, Protocol, TypeVar

from sm3kit.core.errors import OptionError, UnknownKeyword
from sm3kit.core.names import quote, suggestion
from sm3kit.data.progress import Reporter, open_console
from sm3kit.python.surroundings import Surroundings

P = ParamSpec("P")
T = TypeVar("T")
File = str | os.PathLike[str]
# Kinds of values that are checked before anything is done, as messages name them.
KINDS: dict[type, str] = {
    str: "text",
    Mapping: 'a table such as {"name": value}',
    Sequence: "a list",
}
# One value, or several of them; a recipe or a data set may be a file.
Words = File | Sequence[File]


class HasFolder(Protocol):
    """What lies in a folder, such as a run."""

    @property
    def folder(self) -> Path:
        """The folder."""


# A run as users name it: opened, or by its folder.
RunLike = HasFolder | File


def check_keywords(function: Callable[P, T]) -> Callable[P, T]:
    """A decorator for functions that users call, which checks keywords and words to choose from.

    Raises:
        UnknownKeyword: the function has no such keyword; a near one is named.
        OptionError: a value is none of those that the annotation lists.
    """
    signature = inspect.signature(function)
    kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}
    names = [name for name in kinds if name != "self"]
    takes_all = inspect.Parameter.VAR_KEYWORD in kinds.values()

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        for name in () if takes_all else kwargs:
            if name not in names:
                raise UnknownKeyword(
                    f"{function.__name__}() has no keyword {name!r}. {suggestion(name, names)}"
                    f"Known: {', '.join(names)}."
                )
        values = signature.bind_partial(*args, **kwargs).arguments
        for name, kind in _kinds(function).items():
            if values.get(name) is not None and not isinstance(values[name], kind):
                raise OptionError(
                    f"{function.__name__}(): {name} must be {KINDS[kind]}, not "
                    f"{quote(values[name])}."
                )
        for name, choices in _choices(function).items():
            for value in _several(values.get(name)):
                if value not in choices:
                    raise OptionError(
                        f"{function.__name__}(): {name} must be {' or '.join(map(repr, choices))}, "
                        f"not {quote(value)}. {suggestion(str(value), choices)}".rstrip()
                    )
        return function(*args, **kwargs)

    return call


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """{parameter: its annotation}."""
    annotations = {n: hint for n, hint in function.__annotations__.items() if n != "return"}
    holder = SimpleNamespace(__annotations__=annotations)
    return typing.get_type_hints(holder, vars(sys.modules[function.__module__]))


@functools.cache
def _kinds(function: Callable[..., Any]) -> dict[str, type]:
    """{parameter: the kind of its values}, of those that take a single one of KINDS."""
    kinds = {}
    for name, hint in _hints(function).items():
        union = typing.get_origin(hint) in (typing.Union, UnionType)
        parts = (
            [part for part in typing.get_args(hint) if part is not NoneType] if union else [hint]
        )
        kind = typing.get_origin(parts[0]) or parts[0]
        if len(parts) == 1 and kind in (str, Mapping, Sequence):
            kinds[name] = kind
    return kinds


@functools.cache
def _choices(function: Callable[..., Any]) -> dict[str, tuple[str, ...]]:
    """{parameter: the words that it takes}, of those whose annotation lists them."""
    hints = _hints(function)
    listed = {name: _words_of(hint) for name, hint in hints.items()}
    return {name: choices for name, choices in listed.items() if choices}


def _words_of(hint: Any) -> tuple[str, ...]:
    """The words that an annotation lists; empty if it takes others as well."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return parts
    if typing.get_origin(hint) in (typing.Union, UnionType):
        listed = [_words_of(part) for part in parts if part is not NoneType]
        return tuple(dict.fromkeys(word for part in listed for word in part)) if all(listed) else ()
    return _words_of(parts[0]) if typing.get_origin(hint) is Sequence else ()


def surroundings(*, quiet: bool, cache: bool = True) -> Surroundings:
    """A reporter on the standard output, and the user's caches or none."""
    return Surroundings.of_user(Reporter(open_console(), quiet), cache=cache)


def words(value: Words | None) -> tuple[str, ...]:
    """One word, several, or none, as a tuple.

    Raises:
        OptionError: something that is neither a word nor a path.
    """
    several = _several(value)
    for member in several:
        if not isinstance(member, str | os.PathLike):
            raise OptionError(f"{quote(member)} must be text, or a list of texts.")
    return tuple(os.fspath(member) for member in several)


def _several(value: Any) -> tuple[Any, ...]:
    """One value, several, or none, as a tuple."""
    if value is None:
        return ()
    alone = isinstance(value, str | os.PathLike) or not isinstance(value, Iterable)
    return (value,) if alone else tuple(value)


def folder_of(run: RunLike) -> Path:
    """The folder of a run.

    Raises:
        OptionError: it is neither a run nor a path.
    """
    if isinstance(run, str | os.PathLike):
        return Path(run)
    if not isinstance(getattr(run, "folder", None), Path):
        raise OptionError(f"A run must be its folder, or what open_run gives, not {quote(run)}.")
    return run.folder


def as_text(value: Any) -> Any:
    """A path as text, also in a table of one for each modality; everything else as it is."""
    if isinstance(value, Mapping):
        return {name: as_text(member) for name, member in value.items()}
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def nest_options(options: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """{owner: {option: value}} of {"owner.option": value}; tables of options are taken as well."""
    table: dict[str, dict[str, Any]] = {}
    for address, value in flatten_options(options):
        owner, _, name = address.rpartition(".")
        if not owner:
            raise OptionError(
                "options must be names such as 'simclr.temperature', with the owner before the "
                f"dot; not {address!r}."
            )
        table.setdefault(owner, {})[name] = value
    return table


def flatten_options(options: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """("owner.option", value) of options, each of them by its address or in the table of its owner."""
    settings: list[tuple[str, Any]] = []
    for name, value in (options or {}).items():
        if isinstance(value, Mapping) and "." not in name:
            settings += [(f"{name}.{option}", inner) for option, inner in value.items()]
        else:
            settings.append((name, value))
    return settings
