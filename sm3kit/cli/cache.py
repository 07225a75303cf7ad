"""`sm3kit cache`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import click
import cloup

from sm3kit.cli.help.command import group
from sm3kit.cli.help.option import option
from sm3kit.cli.option_types import Number
from sm3kit.cli.settings import json_option
from sm3kit.cli.streams import print_json
from sm3kit.core import ranges
from sm3kit.core.names import list_names
from sm3kit.core.text import in_units
from sm3kit.data.cache_folders import CLEARABLE

if TYPE_CHECKING:
    from sm3kit.data.cache_folders import Holding


@group(invoke_without_command=True)
@json_option
@click.pass_context
def cache(ctx: click.Context, as_json: bool) -> None:
    """Show or clear the caches of images, features and shards.

    Decoded images, features, indices of tar shards and the built-in studies are cached. All of it
    can be recreated. The environment variable SM3KIT_CACHE sets the folder, and
    SM3KIT_CACHE_LIMIT the largest size in GiB, for images and for features each.

    Examples:
      sm3kit cache
      sm3kit cache clear
      sm3kit cache clear features --older-than 30 --yes
    """
    if ctx.invoked_subcommand:
        return
    from sm3kit.core.files import cache_root
    from sm3kit.data.cache_folders import holdings

    parts = holdings()
    if as_json:
        import dataclasses

        document = {"folder": str(cache_root()), "parts": [dataclasses.asdict(x) for x in parts]}
        print_json(document)
        return
    # A line of its own: folders have long names.
    click.echo(cache_root())
    for holding in parts:
        click.echo(_line(holding))
    click.echo(f"  {'total':9} {'':14}  {in_units(sum(holding.bytes for holding in parts)):>8}")


def _line(holding: Holding) -> str:
    size = in_units(holding.bytes)
    limit = "" if holding.limit is None else f" of {in_units(holding.limit)}"
    head = f"  {holding.name:9} {holding.files:8,} files  {size:>8}{limit}"
    if holding.oldest is None or holding.newest is None:
        return head
    return f"{head}\n  {'':9} last used {_ago(holding.oldest)} to {_ago(holding.newest)}"


def _ago(moment: float) -> str:
    days = int((time.time() - moment) // 86400)
    return "today" if days < 1 else "1 day ago" if days == 1 else f"{days:,} days ago"


@cache.command()
@cloup.argument(
    "parts",
    nargs=-1,
    type=click.Choice(CLEARABLE),
    metavar="[images|features|shards]...",
    help="What to remove; all three by default.",
)
@option(
    "--older-than",
    type=Number(Annotated[float, ranges.Range(0, 1_000_000)]),
    metavar="DAYS",
    default=0.0,
    default_text="0, which removes everything",
    help="Remove only what has not been used for this many days.",
)
@option("--yes", is_flag=True, help="Do not ask for confirmation.")
@option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON document to stdout. Requires --yes.",
)
def clear(parts: tuple[str, ...], older_than: float, yes: bool, as_json: bool) -> None:
    """Remove decoded images, features and indices of tar shards.

    Safe while a training is running: it recreates what it needs.
    """
    from sm3kit.core.files import cache_root
    from sm3kit.data.cache_folders import clear as clear_folders

    if as_json and not yes:
        raise click.UsageError("--json cannot ask for confirmation. Add --yes.")
    names = parts or CLEARABLE
    if not yes:
        which = f" not used for {older_than:g} days" if older_than else ""
        click.confirm(f"Remove {list_names(names)}{which} from {cache_root()}?", abort=True)
    freed = clear_folders(names, older_than)
    if as_json:
        import dataclasses
        import json

        click.echo(json.dumps([dataclasses.asdict(part) for part in freed], indent=2))
        return
    for part in freed:
        left = f", {part.kept:,} could not be removed" if part.kept else ""
        click.echo(
            f"{part.name:9} {part.files:8,} files removed, {in_units(part.bytes)} freed{left}"
        )
