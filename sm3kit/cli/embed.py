"""`sm3kit embed`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from cloup import option_group

from sm3kit.cli.help.command import command
from sm3kit.cli.help.option import option
from sm3kit.cli.settings import (
    console,
    data_options,
    map_option,
    no_cache_option,
    other_data_option,
    output_options,
    parsed_map,
    parsed_options,
    plugin_file_option,
    run_argument,
    surroundings,
)


@command()
@run_argument
@option_group(
    "Basics",
    option(
        "--out",
        required=True,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="File to write: NAME.npz or NAME.parquet.",
    ),
    option(
        "--space",
        "spaces",
        multiple=True,
        type=click.Choice(["backbone", "joint", "embedding", "projection"]),
        default_text="joint",
        help="backbone: features of each modality. joint: features of the study, the input of "
        "classifiers. embedding: one per label, after stage 2. projection: outputs of the fusion. "
        "Repeat to save several side by side.",
    ),
    option(
        "--split",
        "splits",
        multiple=True,
        type=click.Choice(["train", "val", "test"]),
        default_text="all",
        help="Only the studies of this split. May be repeated.",
    ),
)
@option_group("Data", other_data_option(), map_option, data_options, plugin_file_option)
@option_group("Output", no_cache_option, output_options)
def embed(
    run: Path,
    out: Path,
    spaces: tuple[str, ...],
    splits: tuple[str, ...],
    data: tuple[str, ...],
    rename: tuple[str, ...],
    options: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    no_cache: bool,
) -> None:
    """Save the features of studies to a file.

    Examples:
      sm3kit embed runs/NAME --out features.npz
      sm3kit embed runs/NAME --split test --space backbone --space joint --out test.parquet
    """
    from sm3kit.data.progress import Reporter
    from sm3kit.deployment.embed import check_embedding_file, write_embeddings
    from sm3kit.deployment.embed import embed as embed_studies
    from sm3kit.evaluation.opening import open_subject
    from sm3kit.evaluation.record_text import caveats_of_studies

    check_embedding_file(out)
    people = console(stderr=as_json)
    around = surroundings(people, quiet=quiet, no_cache=no_cache)
    images, features, reporter = around.images, around.features, around.reporter
    subject = open_subject(
        run, data, images, features, reporter, parsed_map(rename), parsed_options(options)
    )
    for note in subject.notes:
        reporter.say(f"note     {note}")
    embeddings = embed_studies(subject, splits or ("train", "val", "test"), spaces or ("joint",))
    for caveat in caveats_of_studies(embeddings.about):
        reporter.warn(caveat)
    write_embeddings(embeddings, out)
    for name, rows in embeddings.arrays.items():
        reporter.say(f"{name}  {rows.shape[0]} x {rows.shape[1]}")
    Reporter(people).say(f"written  {out}")
    if as_json:
        shapes = {name: list(rows.shape) for name, rows in embeddings.arrays.items()}
        marks = {name: embeddings.about[name] for name in ("seen", "replaced")}
        click.echo(json.dumps({"file": str(out), "arrays": shapes, **marks}, indent=2))
