"""`sm3kit plugins new`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name")
@click.option(
    "--family",
    required=True,
    metavar="FAMILY",
    help="backbone, objective, fusion, clusterer, relation, modality or dataset.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to make; ./sm3kit-NAME by default.",
)
def new(name: str, family: str, out: Path | None) -> None:
    """Write a distribution with a small plugin that works, to be made your own.

    It can be installed, tested, checked and trained with at once; its README says how.
    """
    from sm3kit.authoring.scaffold import plan, write

    scaffold = plan(name, family, out)
    files = write(scaffold)
    click.echo(f"{scaffold.folder} holds a {scaffold.noun} that works:")
    for file in files:
        click.echo(f"  {file}")
    click.echo("\nNext:")
    for line in scaffold.commands:
        click.echo(f"  {line}")
    click.echo(f"\nThen make {scaffold.module}.py your own.")
