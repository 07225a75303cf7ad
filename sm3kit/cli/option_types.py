"""What the values of options are: numbers within their range, and values of one modality."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sm3kit.core.options import Option, cast, fields_of

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # Generic for type checkers only, before click 8.2.

PATHS = ("/", "./", "../", "~")  # How a file begins whose name has an equals sign.


class Number(ParamType):
    """A number within the range that its option declares.

    Args:
        kind: the declared type, such as `Annotated[int, Range(1, 64)]`.
    """

    def __init__(self, kind: Any) -> None:
        self.option = Option("", kind)
        self.name = self.option.type_text.partition(" ")[0]

    @classmethod
    def of(cls, record: type, name: str) -> Number:
        """The number that a setting of a variant, of one of its parts, or of an evaluation takes."""
        return cls(fields_of(record)[name].type)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float:
        """The number, or a wrong command line that says what is wanted."""
        try:
            number: int | float = cast(self.option, value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)
        return number


class PerModality(ParamType):
    """A value for all modalities, or MODALITY=VALUE for one of them.

    Args:
        inner: the type of the value.
    """

    name = "value"

    def __init__(self, inner: ParamType) -> None:
        self.inner = inner

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """(modality, value); no modality means all."""
        if isinstance(value, tuple):
            return value
        # A name may have an equals sign in it, and so may a file, but no number.
        cut = str.partition if self.inner is click.STRING else str.rpartition
        modality, equals, rest = cut(str(value), "=")
        if not equals or modality.startswith(PATHS) or Path(value).is_file():
            return "", self.inner.convert(value, param, ctx)
        return modality, self.inner.convert(rest, param, ctx)


def numbers(ctx: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    """The numbers of a text with commas between them; the callback of an option."""
    parts = [part.strip() for part in value.split(",")] if value else []
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"must be numbers such as 0,1,2, not {value!r}.")
    return tuple(int(part) for part in parts)
