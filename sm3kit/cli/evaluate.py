"""`sm3kit evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sm3kit.cli import completion
from sm3kit.cli.option_types import Number
from sm3kit.cli.settings import (
    console,
    map_option,
    no_cache_option,
    output_options,
    parsed_map,
    parsed_options,
    plugin_file_option,
    surroundings,
)
from sm3kit.cli.streams import print_json
from sm3kit.core.errors import VariantError
from sm3kit.evaluation.settings import PROTOCOLS, SELECTIONS, Settings


@click.command()
@click.argument(
    "runs",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="RUN...",
    shell_complete=completion.runs,
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    help="probe: classifiers on frozen features (the default). finetune: the networks, too. knn: "
    "votes of the nearest training studies. match: rank of the true partner.",
)
@click.option(
    "--split", type=click.Choice(["train", "val", "test"]), help="What is measured on; test."
)
@click.option(
    "--select",
    type=click.Choice(SELECTIONS),
    help="How an epoch (or k) is chosen: by the validation split (the default), not at all, or by "
    "the split that is measured on, which marks the result as leaky.",
)
@click.option(
    "--compare", is_flag=True, help="What the second of two runs has more, with paired intervals."
)
@click.option(
    "--data",
    multiple=True,
    metavar="SPEC",
    shell_complete=completion.data_specs,
    help="Other data than the run's: synthetic, derm7pt:DIR, milk10k:DIR, manifest:FILE.csv, or a "
    "plugin's name:argument.",
)
@map_option
@click.option(
    "--scope",
    type=click.Choice(["auto", "heads", "relation", "layers", "all"]),
    help="What learns from labels; auto takes heads and the relation, or all when fine-tuning.",
)
@click.option(
    "--epochs", type=Number.of(Settings, "epochs"), help="Passes over the labelled studies."
)
@click.option("--batch-size", type=Number.of(Settings, "batch_size"), help="Studies per step.")
@click.option("--lr", type=Number.of(Settings, "lr"), help="Learning rate.")
@click.option(
    "--feature-views",
    type=Number.of(Settings, "feature_views"),
    help="Views of each study that a probe encodes once; 0 encodes new ones in every epoch.",
)
@click.option("--k", type=Number.of(Settings, "k"), help="Neighbours, with --select last.")
@click.option("--seed", type=Number.of(Settings, "seed"), help="Seed of heads, order and views.")
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="NAME.OPTION=VALUE",
    help="Set an option of a data set or modality, or of the evaluation "
    "(evaluate.weight_decay=0.01).",
)
@plugin_file_option
@no_cache_option
@output_options
def evaluate(
    runs: tuple[Path, ...],
    compare: bool,
    data: tuple[str, ...],
    rename: tuple[str, ...],
    options: tuple[str, ...],
    no_cache: bool,
    quiet: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Measure what the networks of a run are worth.

    \b
      sm3kit evaluate runs/one
      sm3kit evaluate runs/one --protocol match --split val
      sm3kit evaluate runs/one --data derm7pt:release_v0
      sm3kit evaluate runs/one runs/two --compare
    """
    from sm3kit.cli.result_table import show, show_comparison
    from sm3kit.evaluation.comparison import compare_runs
    from sm3kit.evaluation.evaluate import evaluate as run_evaluation
    from sm3kit.evaluation.settings import settings_of
    from sm3kit.evaluation.subject import open_subject

    if len(runs) != 2 if compare else len(runs) != 1:
        wanted = "--compare wants two runs" if compare else "Give one run, or two and --compare"
        raise VariantError(f"{wanted}; there are {len(runs)}: {', '.join(map(str, runs))}.")
    out = console(stderr=as_json)
    around = surroundings(out, quiet=quiet, no_cache=no_cache)
    asked = {name: value for name, value in flags.items() if value is not None}
    protocol = asked.pop("protocol", None)
    chosen = parsed_options(options)
    asked |= chosen.pop("evaluate", {})
    renamed = parsed_map(rename)
    tasks = []
    for run in runs:
        subject = open_subject(
            run, data, around.images, around.features, around.reporter, renamed, chosen
        )
        relation = subject.embedding is not None
        settings = settings_of(subject.trained.variant, protocol, asked, relation=relation)
        tasks.append((subject, settings))
    record = compare_runs(*tasks) if compare else run_evaluation(*tasks[0])
    (show_comparison if compare else show)(record, out, quiet)
    if as_json:
        print_json(record)
