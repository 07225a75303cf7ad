"""`sm3kit data check`, `sm3kit data pack` and `sm3kit data synth`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click
import cloup

from sm3kit.cli.completion import data_specs
from sm3kit.cli.help.command import group
from sm3kit.cli.help.option import option
from sm3kit.cli.option_types import Number
from sm3kit.cli.settings import (
    console,
    output_options,
    parsed_options,
    plugin_file_option,
    plugin_options,
    say,
)
from sm3kit.core import ranges

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sm3kit.data.check_report import Report

# The layouts of synthesis.layouts, repeated so that --help need not import numpy; a test compares.
LAYOUTS = (
    *("derm7pt", "derm7pt-flat", "isic", "manifest", "midas", "midas-repeats"),
    *("milk10k", "milk10k-archive", "milk10k-flat"),
)

out_option = option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder to create.",
)


@group()
def data() -> None:
    """Check or pack your data, or create synthetic data."""


@data.command()
@cloup.argument(
    "spec", shell_complete=data_specs, help="The data set, as for --data of sm3kit pretrain."
)
@option(
    "--quick",
    is_flag=True,
    help="Do not open the images: damaged files and copies of files are not found.",
)
@plugin_options
@plugin_file_option
@output_options
def check(spec: str, options: tuple[str, ...], quick: bool, quiet: bool, as_json: bool) -> None:
    """Show what a data set contains and whether it has problems.

    The exit code is 1 if there is a problem.

    Examples:
      sm3kit data check manifest:my.csv
      sm3kit data check derm7pt:release_v0 --quick
    """
    from sm3kit.data.check import check_spec

    people = console(stderr=as_json)
    with people.status("checking the data"):
        report = check_spec(spec, parsed_options(options), read=not quick)
    if as_json:
        import dataclasses
        import json

        click.echo(json.dumps({**dataclasses.asdict(report), "ok": report.ok}, indent=2))
    _show(people, spec, report, quiet)
    if not report.ok:
        raise click.exceptions.Exit(1)


def _show(people: Console, spec: str, report: Report, quiet: bool) -> None:
    if not quiet:
        _show_content(people, spec, report)
    for text in report.warnings:
        say(people, f"warning: {text}", style="yellow")
    for text in report.problems:
        say(people, f"problem: {text}", style="red")
    if report.ok:
        say(people, "No problem found.")


def _show_content(people: Console, spec: str, report: Report) -> None:
    say(people, f"{spec}: {sum(report.studies.values())} studies")
    for note in report.notes:
        say(people, f"  {note}")
    people.print(_table(report))
    if any(label.label.reported for label in report.labels):
        say(people, "* the reported class, which metrics count as positive")
    if not all(label.label.reported for label in report.labels):
        say(people, "Results of a label without a * are the mean over its classes.")
    for name, sizes in report.sizes.items():
        smallest, middle, largest = (
            f"{width} x {height}" for height, width in (sizes.smallest, sizes.median, sizes.largest)
        )
        spread = f"{smallest} to {largest} px, median {middle}"
        size = f"all {middle} px" if smallest == largest else spread
        say(people, f"{name}: {sizes.images} images, {size}")


def _table(report: Report) -> Table:
    """Studies, modalities and classes by split."""
    from rich.table import Table

    splits = [name for name, count in report.studies.items() if count]
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for split in splits:
        table.add_column(split, justify="right")
    _row(table, "studies", report.studies, splits)
    for name, counts in report.modalities.items():
        _row(table, f"with {name}", counts, splits)
    _row(table, "complete", report.complete, splits)
    for label in report.labels:
        table.add_section()
        for index, name in enumerate(label.label.classes):
            mark = "*" if name == label.label.reported else ""
            head = label.label.name if index == 0 else ""
            counts = {split: label.known[split][index] for split in splits}
            _row(table, f"{head:20} {name}{mark}", counts, splits)
        if any(label.unknown.values()):
            _row(table, f"{'':20} unknown", label.unknown, splits)
    return table


def _row(table: Table, name: str, counts: Mapping[str, int], splits: list[str]) -> None:
    table.add_row(name, *(str(counts[split]) if counts[split] else "-" for split in splits))


@data.command()
@cloup.argument(
    "spec", shell_complete=data_specs, help="The data set, as for --data of sm3kit pretrain."
)
@out_option
@option(
    "--modality",
    "modalities",
    multiple=True,
    metavar="NAME",
    default_text="all",
    help="Pack only this modality.",
)
@option(
    "--shard-size",
    type=Number(ranges.Count),
    default=1024,
    metavar="MIB",
    help="Largest size of a shard in MiB.",
)
@option(
    "--studies-per-shard",
    type=Number(ranges.Count),
    default=None,
    default_text="as many as fit",
    help="Largest number of studies in a shard.",
)
@plugin_options
@plugin_file_option
def pack(
    spec: str,
    out: Path,
    modalities: tuple[str, ...],
    shard_size: int,
    studies_per_shard: int | None,
    options: tuple[str, ...],
) -> None:
    """Pack a data set into tar shards.

    The studies stay the same in every respect, and the bytes of images are copied as they are. The
    layout is that of webdataset. Train on the shards with --data shards:DIR.

    Examples:
      sm3kit data pack manifest:my.csv --out shards
      sm3kit data pack derm7pt:release_v0 --out shards --studies-per-shard 100
    """
    from sm3kit.core.text import in_units
    from sm3kit.data.packing import pack as pack_spec

    with console(stderr=True).status("packing the data"):
        packed = pack_spec(
            spec,
            parsed_options(options),
            out,
            only=modalities,
            most_bytes=shard_size * 2**20,
            most_studies=studies_per_shard,
        )
    shards = f"{packed.shards} shard{'s' if packed.shards > 1 else ''}"
    click.echo(
        f"Packed {packed.studies} studies into {shards} ({in_units(packed.bytes)}) in {out}. Use "
        f"them with: --data {quote(f'shards:{out}')}"
    )


@data.command()
@option(
    "--layout",
    type=click.Choice(LAYOUTS),
    required=True,
    help="Data set whose file layout is used.",
)
@out_option
@option("--pairs", type=Number(ranges.Count), default=200, help="Number of lesions.")
@option(
    "--size",
    type=Number(ranges.Side),
    default=256,
    help="Height and width of the images in pixels.",
)
@option(
    "--seed",
    type=Number(ranges.Seed),
    default=0,
    help="Random seed. The same seed gives the same files.",
)
@option(
    "--missing",
    type=Number(ranges.Share),
    default=0.0,
    help="Fraction of lesions without the clinical image, for --layout manifest.",
)
def synth(layout: str, out: Path, pairs: int, size: int, seed: int, missing: float) -> None:
    """Create synthetic lesions in the layout of a known data set.

    Examples:
      sm3kit data synth --layout manifest --out lesions
    """
    from sm3kit.synthesis.layouts import write

    write(layout, out, pairs, size, seed, missing)
    name = layout.partition("-")[0]
    spec = f"manifest:{out / 'manifest.csv'}" if name == "manifest" else f"{name}:{out}"
    click.echo(f"Wrote {pairs} lesions to {out}. Use them with: --data {spec}")
