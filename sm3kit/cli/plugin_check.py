"""`sm3kit plugins check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sm3kit.cli import completion
from sm3kit.cli.settings import json_option, parsed_options, plugin_file_option, plugin_options
from sm3kit.core.errors import UnknownName
from sm3kit.core.kinds import KINDS
from sm3kit.core.names import unknown
from sm3kit.core.registry import REGISTRIES
from sm3kit.core.settings import refuse_unknown_owners

if TYPE_CHECKING:
    from sm3kit.authoring.examination import Examination


@click.command()
@click.argument("name", default="", shell_complete=completion.any_plugin)
@click.option("--family", type=click.Choice(list(KINDS)), help="Only this family.")
@click.option("--all", "everything", is_flag=True, help="All plugins that are installed.")
@click.option("--model", default="", help="A small model of a backbone.")
@click.option("--image", default="", metavar="FILE", help="An image for a modality.")
@click.option(
    "--argument", default="", metavar="TEXT", help="What follows the colon of a data set."
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
    """Try the laws of its contract on a plugin.

    NAME may be given as FAMILY/NAME where two families share a name. Exit code 1 if a law does
    not hold. Modalities, data sets and backbones are tried on what their own example() gives, if
    nothing is given here.
    """
    import tempfile

    from sm3kit.authoring.examination import TrialInput, examine, find_plugins

    if bool(name) == everything:
        raise click.UsageError("Name a plugin, or take --all.")
    place, _, bare = name.rpartition("/")
    if place and place not in KINDS:
        raise UnknownName(unknown("plugin family", place, KINDS))
    members = find_plugins(bare, place or family or "")
    if not members:
        known = {plugin for reg in REGISTRIES.values() for plugin in reg.names()}
        raise UnknownName(unknown("plugin", bare, known))
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
        click.echo(f"{len(examinations)} plugins, {len(bad)} with faults: {', '.join(bad) or '-'}")
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
