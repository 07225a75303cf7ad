"""Options are the keyword-only arguments of a component: read, checked and bound here."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

from sm3kit.core.errors import BrokenPlugin, OptionError
from sm3kit.core.names import quote, unknown
from sm3kit.core.ranges import FINITE, WHOLE, Range

WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "float,float": "two numbers",
    "int,...": "whole numbers",
    "float,...": "numbers",
}
TRUE, FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


@dataclass(frozen=True)
class Option:
    """One keyword-only argument, or setting of a record: its name, type and default.

    The type may carry the range of its numbers: `Annotated[int, Range(1, 64)]`.
    """

    name: str
    type: Any
    default: Any = inspect.Parameter.empty

    @property
    def type_text(self) -> str:
        """The type as people write it: `int from 1 to 64`, `aligned|crossed`, `float,...`."""
        return _type_text(self.type)

    @property
    def wanted(self) -> str:
        """The type in words, for messages: `a whole number from 1 to 64`."""
        kind, _, limits = self.type_text.partition(" ")
        return f"{WORDS[kind]} {limits}".strip() if kind in WORDS else self.type_text


def options_of(component: Callable[..., Any]) -> dict[str, Option]:
    """The options of a component, in the order of its signature.

    Raises:
        BrokenPlugin: a type is not defined when the program runs.
    """
    maker = component.__init__ if inspect.isclass(component) else component
    try:
        hints = typing.get_type_hints(maker, include_extras=True)
    except NameError as error:
        raise BrokenPlugin(
            f"The types of the options of {component.__module__}:{component.__qualname__} cannot "
            f"be read: {error}. Import it outside of `if TYPE_CHECKING`."
        ) from error
    return {
        name: Option(name, hints.get(name, str), parameter.default)
        for name, parameter in inspect.signature(maker).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


@functools.cache
def fields_of(record: type) -> dict[str, Option]:
    """The fields of a dataclass as options, in their order; the default of a table is empty."""
    hints = typing.get_type_hints(record, include_extras=True)
    return {
        part.name: Option(
            part.name, hints[part.name], {} if part.default is dataclasses.MISSING else part.default
        )
        for part in dataclasses.fields(record)
    }


def check_fields(record: Any, owner: str) -> None:
    """Makes sure that the values of a dataclass are within the ranges of its fields.

    Raises:
        OptionError: one is not.
    """
    record_type: type = type(record)
    for name, option in fields_of(record_type).items():
        if typing.get_origin(option.type) is Annotated:
            convert(option, getattr(record, name), owner)


def bind(component: Callable[..., Any], owner: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The given options, converted to the types that the component declares.

    Args:
        owner: how messages call the component, for example "objective 'simclr'".
        settings: option names and values; text is converted.

    Raises:
        OptionError: an option that does not exist, or a value of another type or out of range.
    """
    known = options_of(component)
    bound = {}
    for name, value in settings.items():
        if name not in known:
            raise OptionError(f"The {owner}: {unknown('option', name, known)}")
        bound[name] = convert(known[name], value, owner)
    return bound


def convert(option: Option, value: Any, owner: str) -> Any:
    """A value, or its text, as the type of an option and within its range.

    Raises:
        OptionError: the value does not fit.
    """
    try:
        return cast(option, value)
    except ValueError as error:
        known = option.default is not inspect.Parameter.empty
        default = f" Its default is {option.default!r}." if known else ""
        raise OptionError(f"The {owner}: option {option.name!r} {error}.{default}") from None


def cast(option: Option, value: Any) -> Any:
    """A value, or its text, as the type of an option and within its range.

    Raises:
        ValueError: the value does not fit; the message says what is wanted.
    """
    try:
        return _as(option.type, value)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"must be {option.wanted}, not {quote(value)}") from None


def _as(kind: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        number = _as(arguments[0], value)
        if not all(limit.holds(number) for limit in arguments[1:] if isinstance(limit, Range)):
            raise ValueError
        return number
    if origin in (Union, types.UnionType):
        return _as_union(arguments, value)
    if origin is Literal:
        return _as_literal(arguments, value)
    if origin in (tuple, list):
        return _as_sequence(arguments, value)
    scalars: dict[Any, Callable[[Any], Any]] = {
        Any: lambda anything: anything,
        bool: _as_bool,
        int: _as_int,
        float: _as_float,
        str: _as_text,
    }
    return scalars.get(kind, kind)(value)


def _as_union(arguments: tuple[Any, ...], value: Any) -> Any:
    if type(None) in arguments and (value is None or str(value).lower() == "none"):
        return None
    for argument in arguments:
        if argument is type(None):
            continue
        try:
            return _as(argument, value)
        except (ValueError, TypeError):
            continue
    raise ValueError


def _as_literal(choices: tuple[Any, ...], value: Any) -> Any:
    for choice in choices:
        if value == choice or str(value) == str(choice):
            return choice
    raise ValueError


def _as_sequence(arguments: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        text = value.strip()
        if text[:1] + text[-1:] in ("()", "[]"):
            text = text[1:-1]
        value = [part.strip() for part in text.split(",")] if text else []
    elif isinstance(value, int | float):
        value = [value]
    elif not isinstance(value, tuple | list):
        raise ValueError
    if not arguments or arguments[-1] is Ellipsis or len(arguments) == 1:
        inner = arguments[0] if arguments else str
        return tuple(_as(inner, part) for part in value)
    if len(value) != len(arguments):
        raise ValueError
    return tuple(_as(inner, part) for inner, part in zip(arguments, value, strict=True))


def _as_bool(value: Any) -> bool:
    text = str(value).lower()
    if text not in TRUE | FALSE:
        raise ValueError
    return text in TRUE


def _as_int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    number = int(value)
    if not WHOLE.holds(number):
        raise ValueError
    return number


def _as_float(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError
    number = float(value)
    if not FINITE.holds(number):
        raise ValueError
    return number


def _as_text(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise ValueError
    return str(value)


def _type_text(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        limits = " ".join(str(limit) for limit in arguments[1:] if isinstance(limit, Range))
        return f"{_type_text(arguments[0])} {limits}".strip()
    if kind is type(None):
        return "none"
    if origin in (Union, types.UnionType):
        return " or ".join(_type_text(argument) for argument in arguments)
    if origin is Literal:
        return "|".join(str(choice) for choice in arguments)
    if origin in (tuple, list):
        if not arguments or arguments[-1] is Ellipsis or len(arguments) == 1:
            return f"{_type_text(arguments[0] if arguments else str)},..."
        return ",".join(_type_text(argument) for argument in arguments)
    return getattr(kind, "__name__", str(kind))
