"""`sm3kit plugins`: list, show, new and check."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from typing import Any

import click
import cloup

from sm3kit.cli.completion import any_plugin
from sm3kit.cli.help.command import group
from sm3kit.cli.help.option import option
from sm3kit.cli.plugin_check import check
from sm3kit.cli.settings import json_option, plugin_file_option
from sm3kit.core.errors import BrokenPlugin, SM3Error, UnknownName
from sm3kit.core.installed import Declaration
from sm3kit.core.kinds import KINDS
from sm3kit.core.names import alternatives, unknown, unknown_plugin
from sm3kit.core.registry import REGISTRIES, registry

COLUMNS = ("name", "origin")  # As wide as their longest word.
NOUNS = [kind.noun for kind in KINDS.values()]


@group()
def plugins() -> None:
    """List, show, create and check plugins."""


plugins.add_command(check)


@plugins.command("list")
@option(
    "--family", type=click.Choice(list(KINDS)), default_text="all", help="List only this family."
)
@option("--load", is_flag=True, help="Import every plugin to find errors that appear only then.")
@plugin_file_option
@json_option
def list_plugins(family: str | None, load: bool, as_json: bool) -> None:
    """List the installed plugins by family.

    Broken plugins are marked with the reason.
    """
    rows_of = {
        name: [_row(name, declaration, load) for declaration in registry(name).declarations()]
        for name in KINDS
        if family in (None, name)
    }
    if as_json:
        import json

        click.echo(json.dumps(rows_of, indent=2))
        return
    for name, rows in rows_of.items():
        click.echo(f"{name}: {KINDS[name].does}")
        names, origins = (max((len(row[part]) for row in rows), default=0) for part in COLUMNS)
        for row in rows:
            click.echo(f"  {row['name']:<{names}}  {row['origin']:<{origins}}  {row['target']}")
            for mark in ("broken", "warning"):
                if row[mark]:
                    click.echo(f"  {'':<{names}}  {mark}: {row[mark]}")


def _row(family: str, declaration: Declaration, load: bool) -> dict[str, str]:
    from sm3kit.core.inspection import why_broken

    reg = registry(family)
    others = [twin for twin in reg.declarations(declaration.name) if twin != declaration]
    broken = why_broken(declaration)
    if others:
        broken = f"the name is also claimed by {', '.join(twin.origin for twin in others)}"
    elif load and not broken:
        try:
            reg.load(declaration.name)
        except BrokenPlugin as error:
            broken = str(error)
    return {
        "name": declaration.name,
        "origin": declaration.origin,
        "target": declaration.target,
        "broken": broken,
        "warning": declaration.mismatch,
    }


@plugins.command()
@cloup.argument(
    "name",
    shell_complete=any_plugin,
    help="The plugin; FAMILY/NAME if two families have the same name.",
)
@plugin_file_option
def show(name: str) -> None:
    """Show what a plugin does, and its options with their defaults.

    Examples:
      sm3kit plugins show simclr
      sm3kit plugins show fusions/none
    """
    family, _, bare = name.rpartition("/")
    if family and family not in KINDS:
        raise UnknownName(unknown("plugin family", family, KINDS))
    owners = [owner for owner in KINDS if family in ("", owner) and bare in registry(owner).names()]
    if not owners:
        known = {plugin for reg in REGISTRIES.values() for plugin in reg.names()}
        raise UnknownName(unknown_plugin("plugin", bare, known))
    for number, owner in enumerate(owners):
        if number:
            click.echo()
        _show(owner, bare)


def _show(family: str, name: str) -> None:
    from sm3kit.core.options import options_of

    reg = registry(family)
    declared = reg.declarations(name)[0]
    click.echo(f"{reg.kind.noun} {name}, {declared.origin} ({declared.target})")
    if declared.mismatch:
        click.echo(f"warning: {declared.mismatch}")
    try:
        component = reg.load(name)
    except SM3Error as error:
        click.echo(f"broken: {error}")
        return
    text, arguments = description(component)
    click.echo(f"\n{text}\n")
    options = options_of(component)
    if not options:
        click.echo("No options.")
        return
    click.echo(f"Options, for -o {name}.OPTION=VALUE:")
    for known in options.values():
        click.echo(f"  {known.name} = {default_text(known.default)}  ({known.type_text})")
        if known.name in arguments:
            width = 74
            click.echo(textwrap.indent(textwrap.fill(arguments[known.name], width), "      "))


def default_text(default: Any) -> str:
    """A default as it would be typed on the command line."""
    if isinstance(default, tuple):
        return ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in default)
    return "true" if default is True else "false" if default is False else repr(default)


def description(component: Any) -> tuple[str, dict[str, str]]:
    """The docstring before "Args:", and the description of each argument in it."""
    lines = (inspect.getdoc(component) or "No description.").splitlines()
    if "Args:" not in lines:
        return "\n".join(lines), {}
    start = lines.index("Args:")
    arguments: dict[str, str] = {}
    names: list[str] = []
    for line in lines[start + 1 :]:
        if line and not line.startswith("    "):
            break
        if line.startswith("    ") and not line.startswith("     ") and ":" in line:
            head, _, text = line.strip().partition(":")
            names = [name.strip() for name in head.split(",")]
            arguments |= dict.fromkeys(names, text.strip())
        else:
            arguments |= {name: f"{arguments[name]} {line.strip()}".strip() for name in names}
    return "\n".join(lines[:start]).strip(), arguments


@plugins.command()
@cloup.argument("name", help="Name of the new plugin.")
@option(
    "--family",
    required=True,
    metavar="FAMILY",
    help=f"What it is: {alternatives(NOUNS)}.",
)
@option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    default_text="./sm3kit-NAME",
    help="Folder to create.",
)
def new(name: str, family: str, out: Path | None) -> None:
    """Create a Python package with a small working plugin to start from.

    It can be installed, tested, checked and trained with at once; its README says how.

    Examples:
      sm3kit plugins new clip --family objective
    """
    from sm3kit.authoring.scaffold import plan, write

    scaffold = plan(name, family, out)
    files = write(scaffold)
    click.echo(f"{scaffold.folder} contains a working {scaffold.noun}:")
    for file in files:
        click.echo(f"  {file}")
    click.echo("\nNext:")
    for line in scaffold.commands:
        click.echo(f"  {line}")
    click.echo(f"\nThen edit {scaffold.module}.py.")
