"""Commands whose --help shows arguments, groups of options, and examples at the end."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import click
import cloup
from cloup.formatting import HelpSection

NARROW = 56  # Columns.
WHOLE = "\xa0"  # A blank at which no line is broken; it is shown as a plain one.
EXAMPLES = "\nExamples:\n"  # What ends the text in the docstring of a command.


class Formatter(cloup.HelpFormatter):
    """Writes texts, in which some blanks break no line if the terminal has room."""

    def write_section(self, s: HelpSection, col1_width: int | None = None) -> None:
        """A heading and its options, arguments or commands."""
        if self.width < NARROW:
            s.definitions = [
                (name, text.replace(WHOLE, " ") if isinstance(text, str) else text)
                for name, text in s.definitions
            ]
        super().write_section(s, col1_width)

    def getvalue(self) -> str:
        """All that was written."""
        return super().getvalue().replace(WHOLE, " ")


class Context(cloup.Context):
    """The context of a command, which formats its help."""

    formatter_class = Formatter


# For the root command; all others inherit them.
SETTINGS = Context.settings(
    help_option_names=["-h", "--help"],
    formatter_settings=Formatter.settings(col1_max_width=26, col2_min_width=30),
)


class Command(cloup.Command):
    """A command whose docstring may end with examples; its --help is in the last group."""

    context_class = Context

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The text before the examples."""
        if text := _parts(self)[0]:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(text)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples: commands to copy, so no line of them is broken."""
        if examples := _parts(self)[1]:
            formatter.write(f"\nExamples:\n{examples}\n")

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first line, whole: the table of a group has room for it."""
        return _parts(self)[0].partition("\n")[0]

    def get_ungrouped_options(self, ctx: click.Context) -> Sequence[click.Option]:
        """The options of no group; --help is one only if there are no groups."""
        options = super().get_ungrouped_options(ctx)
        own = self.get_help_option(ctx)
        return [option for option in options if option is not own or not self.option_groups]

    def make_option_group_help_section(
        self, group: cloup.OptionGroup, ctx: click.Context
    ) -> HelpSection:
        """The section of a group; --help stands at the end of the last one."""
        section = super().make_option_group_help_section(group, ctx)
        own = self.get_help_option(ctx)
        record = own.get_help_record(ctx) if own else None
        if record and self.option_groups and group is self.option_groups[-1]:
            section.definitions = [*section.definitions, record]
        return section


class Group(Command, cloup.Group):
    """A group of such commands."""

    command_class = Command


def _parts(command: click.Command) -> tuple[str, str]:
    """The text of a command, and its examples."""
    text, _, examples = inspect.cleandoc(command.help or "").partition(EXAMPLES)
    return text.rstrip(), examples.rstrip()


def whole(text: str) -> str:
    """A text that stays on one line of the help."""
    return text.replace(" ", WHOLE)


def command(name: str | None = None) -> Callable[[Callable[..., Any]], Command]:
    """A decorator that makes a function a command; see `cloup.command`."""
    return cloup.command(name, cls=Command)


def group(cls: type[Group] = Group, **attributes: Any) -> Callable[[Callable[..., Any]], Group]:
    """A decorator that makes a function a group of commands; see `cloup.group`."""
    return cloup.group(cls=cls, **attributes)
