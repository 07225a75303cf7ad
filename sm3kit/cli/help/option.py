"""Options whose --help ends with their default, or with "required"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
import cloup

from sm3kit.cli.help.command import whole

F = TypeVar("F", bound=Callable[..., Any])
LONGEST = 48  # Characters of a default that is not broken over two lines.


class Option(cloup.Option):
    """An option that says its default in --help.

    Args:
        default_text: what stands for the default, where the value itself says too little.
    """

    def __init__(self, *args: Any, default_text: str = "", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.default_text = default_text

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Names and help; click itself marks what is required."""
        record = super().get_help_record(ctx)
        if record is None or self.required:
            return record
        note = f"[{self.note()}]"
        return record[0], f"{record[1]}  {note if len(note) > LONGEST else whole(note)}"

    def note(self) -> str:
        """The default in words; flags are off, and what may be repeated is not given at all."""
        if self.default_text:
            return f"default: {self.default_text}"
        if self.is_flag:
            return "default: off"
        return f"default: {'none' if self.multiple else written(self.default)}"


def option(*names: str, cls: type[Option] = Option, **attributes: Any) -> Callable[[F], F]:
    """A decorator that gives a command an option; see `cloup.option`."""
    return cloup.option(*names, cls=cls, **attributes)


def written(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, tuple):
        return ",".join(map(written, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
