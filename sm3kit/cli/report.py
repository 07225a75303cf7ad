"""`sm3kit report`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sm3kit.cli import completion
from sm3kit.cli.settings import (
    console,
    no_cache_option,
    output_options,
    plugin_file_option,
    surroundings,
)


@click.command()
@click.argument(
    "folder",
    type=click.Path(path_type=Path),
    metavar="RUN|ABLATION",
    shell_complete=completion.runs,
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The page to write; report.html in the folder by default.",
)
@click.option(
    "--figures", is_flag=True, help="Write each figure to FOLDER/figures as PNG and SVG as well."
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="The studies of maps, attention and gallery.",
)
@click.option(
    "--space",
    type=click.Choice(["backbone", "embedding", "logits"]),
    default="backbone",
    show_default=True,
    help="The space of the maps: the joint feature, the label embeddings of stage 2, or the logits "
    "of a probe, as in the paper. The last two take a map for each label, and a minute or more.",
)
@click.option(
    "--data",
    multiple=True,
    metavar="SPEC",
    help="Where the data lie now, if they have moved since the training.",
)
@click.option("--no-gallery", is_flag=True, help="Show no thumbnails of the studies.")
@plugin_file_option
@no_cache_option
@output_options
def report(
    folder: Path,
    out: Path | None,
    figures: bool,
    split: str,
    space: str,
    data: tuple[str, ...],
    no_gallery: bool,
    no_cache: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write one page of HTML on a run or a grid: tables, figures, and how to repeat it.

    The page stands alone: it needs no network and no other file. Unless you say --no-gallery it
    shows thumbnails of some studies, so look at it before you pass it on.

    \b
      sm3kit report runs/one
      sm3kit report runs/one --figures --space embedding
      sm3kit report runs/ablation-quick --out quick.html
    """
    from sm3kit.report.make import report as make_report

    out_console = console(stderr=as_json, quiet=quiet)
    around = surroundings(out_console, no_cache=no_cache)
    made = make_report(
        folder,
        around.images,
        around.features,
        around.reporter,
        out,
        data,
        split,
        space,  # type: ignore[arg-type]
        figures=figures,
        gallery=not no_gallery,
    )
    for note in made.notes:
        out_console.print(f"note     {note}", highlight=False, markup=False)
    if made.figures:
        text = f"figures  {len(made.figures)} files in {made.figures[0].parent}"
        out_console.print(text, highlight=False, markup=False)
    size = made.page.stat().st_size
    if as_json:
        files = [str(file) for file in made.figures]
        document = {"page": str(made.page), "bytes": size, "figures": files}
        click.echo(json.dumps({**document, "notes": list(made.notes)}, indent=2))
    else:
        click.echo(f"written  {made.page}, {size / 1e6:.1f} MB")
