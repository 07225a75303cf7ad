"""`sm3kit plugins check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from sm3kit.cli import completion
from sm3kit.cli.help.command import command
from sm3kit.cli.help.option import option
from sm3kit.cli.settings import json_option, parsed_options, plugin_file_option, plugin_options
from sm3kit.core.errors import UnknownName
from sm3kit.core.kinds import KINDS
from sm3kit.core.names import unknown, unknown_plugin
from sm3kit.core.registry import REGISTRIES
from sm3kit.core.settings import refuse_unknown_owners

if TYPE_CHECKING:
    from sm3kit.authoring.examination import Examination


@command()
@cloup.argument(
    "name",
    default="",
    shell_complete=completion.any_plugin,
    help="The plugin; FAMILY/NAME if two families have the same name.",
)
@option("--all", "everything", is_flag=True, help="Check all plugins that are installed.")
@option(
    "--family", type=click.Choice(list(KINDS)), default_text="all", help="Check only this family."
)
@option(
    "--model",
    default="",
    metavar="NAME",
    default_text="from example()",
    help="A small model, to check a backbone.",
)
@option(
    "--image",
    default="",
    metavar="FILE",
    default_text="from example()",
    help="An image, to check a modality.",
)
@option(
    "--argument",
    default="",
    metavar="TEXT",
    default_text="from example()",
    help="What follows the colon in --data NAME:TEXT, to check a data set.",
)
@plugin_options
@plugin_file_option
@json_option
def check(
    name: str,
    family: str | None,
    everything: bool,
    options: tuple[str, ...],
    as_json: bool,
    **to: str,
) -> None:
    """Check that a plugin keeps the laws of its contract.

    Backbones, modalities and data sets are checked on what their example() returns, unless it is
    given here. The exit code is 1 if a law is broken.

    Examples:
      sm3kit plugins check simclr
      sm3kit plugins check mine --plugin mine.py
    """
    import tempfile

    from sm3kit.authoring.examination import TrialInput, examine, find_plugins

    if bool(name) == everything:
        raise click.UsageError("Give the name of a plugin, or --all.")
    place, _, bare = name.rpartition("/")
    if place and place not in KINDS:
        raise UnknownName(unknown("plugin family", place, KINDS))
    members = find_plugins(bare, place or family or "")
    if not members:
        known = {plugin for reg in REGISTRIES.values() for plugin in reg.names()}
        raise UnknownName(unknown_plugin("plugin", bare, known))
    chosen = parsed_options(options)
    refuse_unknown_owners(
        chosen, "plugin to be checked", {declaration.name for _, declaration in members}
    )
    examinations = []
    for owner, declaration in members:
        material = TrialInput(**to, options=chosen.get(declaration.name, {}))
        with tempfile.TemporaryDirectory() as folder:
            examination = examine(owner, declaration, material, Path(folder))
        examinations.append(examination)
        if not as_json:
            _show(examination)
    if as_json:
        import json

        click.echo(json.dumps([_as_dict(examination) for examination in examinations], indent=2))
    elif len(examinations) > 1:
        bad = [examination.declaration.name for examination in examinations if not examination.fine]
        click.echo(f"{len(examinations)} plugins, {len(bad)} failed: {', '.join(bad) or '-'}")
    if not all(examination.fine for examination in examinations):
        raise click.exceptions.Exit(1)


def _show(examination: Examination) -> None:
    declaration, counts = examination.declaration, {"ok": 0, "FAILED": 0, "not tried": 0}
    click.echo(
        f"{KINDS[examination.family].noun} {declaration.name}, {declaration.origin} ({declaration.target})"
    )
    for verdict in examination.verdicts:
        counts[verdict.outcome] += 1
        click.echo(f"  {verdict.outcome:9}  {verdict.law:15}  {verdict.sentence}")
    click.echo("  " + ", ".join(f"{number} {outcome}" for outcome, number in counts.items()))


def _as_dict(examination: Examination) -> dict[str, Any]:
    declaration = examination.declaration
    return {
        "family": examination.family,
        "name": declaration.name,
        "origin": declaration.origin,
        "target": declaration.target,
        "ok": examination.fine,
        "laws": [vars(verdict) for verdict in examination.verdicts],
    }
