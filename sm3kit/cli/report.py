"""`sm3kit report`."""

from __future__ import annotations

import json
from pathlib import Path

import click
import cloup
from cloup import option_group

from sm3kit.cli import completion
from sm3kit.cli.help.command import command
from sm3kit.cli.help.option import option
from sm3kit.cli.settings import (
    console,
    no_cache_option,
    output_options,
    plugin_file_option,
    say,
    surroundings,
)


@command()
@cloup.argument(
    "folder",
    type=click.Path(path_type=Path),
    metavar="RUN|ABLATION",
    shell_complete=completion.runs,
    help="Folder of a run or of an ablation.",
)
@option_group(
    "Basics",
    option(
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        default_text="report.html in the folder",
        help="Page to write.",
    ),
    option(
        "--split",
        type=click.Choice(["train", "val", "test"]),
        default="test",
        help="Split whose studies the maps, the attention and the gallery show.",
    ),
    option(
        "--space",
        type=click.Choice(["backbone", "embedding", "logits"]),
        default="backbone",
        help="Space of the maps. backbone: the joint features. embedding: the label embeddings of "
        "stage 2. logits: the outputs of a probe, as in the paper. The last two draw a map for each "
        "label, which takes a minute or more.",
    ),
    option("--no-gallery", is_flag=True, help="Show no thumbnails of the studies."),
    option(
        "--figures", is_flag=True, help="Also save each figure as PNG and SVG in FOLDER/figures."
    ),
)
@option_group(
    "Data",
    option(
        "--data",
        multiple=True,
        metavar="SPEC",
        shell_complete=completion.data_specs,
        default_text="the data of the run",
        help="Where the data are now, if they have moved since the training.",
    ),
    plugin_file_option,
)
@option_group("Output", no_cache_option, output_options)
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
    """Write an HTML report on a run or an ablation.

    The page shows tables, figures and how to repeat the run. It needs no internet and no other
    file. It shows thumbnails of some studies unless --no-gallery is given: look at it before you
    share it.

    Examples:
      sm3kit report runs/NAME
      sm3kit report runs/NAME --figures --space embedding
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
        say(out_console, f"note     {note}")
    if made.figures:
        text = f"figures  {len(made.figures)} files in {made.figures[0].parent}"
        say(out_console, text)
    size = made.page.stat().st_size
    if as_json:
        files = [str(file) for file in made.figures]
        document = {"page": str(made.page), "bytes": size, "figures": files}
        click.echo(json.dumps({**document, "notes": list(made.notes)}, indent=2))
    else:
        click.echo(f"written  {made.page}, {size / 1e6:.1f} MB")
