"""Writes commands.md from the --help of every command: python docs/generate_commands.py [--check]."""

from __future__ import annotations

from collections.abc import Iterator

import click
from generated_page import note, settle

from sm3kit.cli.main import cli

WIDTH = 80
HEAD = """
# Commands

The text of `--help`, command by command. Exit codes: 0 done, 1 a user's mistake or a failed
run with a one-line reason, 2 a wrong command line. `sm3kit --debug COMMAND` shows the traceback
of an error.
"""


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """The context of a command and of everything below it, in the order of its help."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None  # It was just listed.
            yield from commands(inner, opened(inner, name, context))


def opened(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    """The context of a command as its --help would have it, at a fixed width."""
    settings = {**command.context_settings, "terminal_width": WIDTH}
    return click.Context(command, info_name=name, parent=parent, **settings)


def page() -> str:
    """The whole page."""
    parts = [note("commands.md"), HEAD]
    for context in commands(cli, opened(cli, "sm3kit")):
        parts.append(f"\n## `{context.command_path}`\n\n")
        parts.append(f"```text\n{context.command.get_help(context)}\n```\n")
    return "".join(parts)


@click.command()
@click.option("--check", is_flag=True, help="Compare, and write nothing.")
def main(check: bool) -> None:
    """Writes commands.md, or checks that it is up to date."""
    settle("commands.md", page(), check)


if __name__ == "__main__":
    main()
