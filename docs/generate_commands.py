"""Writes commands/*.md from --help: python docs/generate_commands.py [--check]."""

from __future__ import annotations

from collections.abc import Iterator

import click
from generated_page import DOCS, note, settle

from sm3kit.cli.main import COMMANDS, cli

WIDTH = 80
FOLDER = "commands"
HEAD = """
# Commands

The text of `--help`, a page for each command. Options that many have: `--quiet` leaves only
warnings and the last line, `--json` prints one JSON document to stdout and everything else to
stderr. `NO_COLOR=1` turns colours off.

Exit codes: 0 done, 1 a user's mistake or a failed run with a one-line reason, 2 a wrong command
line. `sm3kit --debug COMMAND` shows the traceback of an error.

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
    return command.context_class(command, info_name=name, parent=parent, **settings)


def pages() -> dict[str, str]:
    """{file: text} of all pages: the table of commands, and a page for each."""
    root = opened(cli, "sm3kit")
    rows = [f"| [`{name}`]({name}.md) | {line} |\n" for name, (_, line) in COMMANDS.items()]
    table = f"| command | |\n| --- | --- |\n{''.join(rows)}"
    found = {f"{FOLDER}/index.md": f"{note(FOLDER)}{HEAD}{table}\n{shown(root)}"}
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None  # It is in the table.
        first, *others = commands(command, opened(command, name, root))
        parts = [f"{note(FOLDER)}\n# {first.command_path}\n\n{shown(first)}"]
        parts += [f"\n## {one.command_path}\n\n{shown(one)}" for one in others]
        found[f"{FOLDER}/{name}.md"] = "".join(parts)
    return found


def shown(context: click.Context) -> str:
    """The help of a command as a block."""
    return f"```text\n{context.command.get_help(context)}\n```\n"


@click.command()
@click.option("--check", is_flag=True, help="Compare, and write nothing.")
def main(check: bool) -> None:
    """Writes the pages, or checks that they are up to date."""
    written = pages()
    for name, text in written.items():
        settle(name, text, check)
    for page in sorted((DOCS / FOLDER).glob("*.md")):
        if f"{FOLDER}/{page.name}" not in written:
            if check:
                raise click.ClickException(
                    f"docs/{FOLDER}/{page.name} is of no command. Remove it."
                )
            page.unlink()


if __name__ == "__main__":
    main()
