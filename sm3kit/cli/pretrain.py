"""`sm3kit pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sm3kit.cli import completion
from sm3kit.cli.option_types import Number, PerModality
from sm3kit.cli.settings import (
    console,
    data_option,
    map_option,
    no_cache_option,
    output_options,
    parsed_map,
    parsed_settings,
    plugin_file_option,
    setting_options,
    surroundings,
)
from sm3kit.cli.streams import print_json
from sm3kit.core.stage_settings import MachineSettings, Stage1Settings, Stage2Settings
from sm3kit.core.variant import PER_MODALITY, Variant

if TYPE_CHECKING:
    from sm3kit.training.pretrain import Outcome


@click.command()
@data_option
@map_option
@click.option(
    "--recipe",
    multiple=True,
    metavar="NAME|FILE",
    shell_complete=completion.recipes,
    help="Settings of a row of the paper, or your own file. Several are laid over each other.",
)
@click.option(
    "--objective",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.plugin_names("objectives"),
    help="What to learn within each modality: simclr, byol, swav, or a plugin.",
)
@click.option(
    "--fusion",
    metavar="NAME",
    shell_complete=completion.plugin_names("fusions"),
    help="How modalities meet: concat, sep_shared, sep_sep, sum, none, or a plugin.",
)
@click.option(
    "--backbone",
    multiple=True,
    type=PerModality(click.STRING),
    metavar="[MODALITY=]NAME",
    shell_complete=completion.backbones,
    help="Any timm model, as timm/resnet50 or resnet50; MODALITY=NAME for one modality.",
)
@click.option(
    "--weights",
    multiple=True,
    type=PerModality(click.STRING),
    metavar="[MODALITY=]imagenet|none|FILE",
    shell_complete=completion.weights,
    help="Weights to start from; a file never needs the network.",
)
@click.option(
    "--modality", multiple=True, metavar="NAME", help="Use only this modality; may be repeated."
)
@click.option(
    "--relation",
    metavar="NAME",
    shell_complete=completion.plugin_names("relations"),
    help="How the labels of stage 2 know of each other: none, proj, msa, tel, te, or a plugin.",
)
@click.option(
    "--clusterer",
    metavar="NAME",
    shell_complete=completion.plugin_names("clusterers"),
    help="What makes pseudo-labels: faiss, sklearn, torch, release, sinkhorn, or a plugin.",
)
@click.option(
    "--stage",
    type=click.Choice(["both", "mmssl", "mlssl"]),
    help="mmssl: multi-modality SSL, stage 1. mlssl: multi-label SSL, stage 2, on the networks of "
    "--init or --weights.",
)
@click.option(
    "--init",
    type=click.Path(exists=True, file_okay=False),
    metavar="RUN",
    shell_complete=completion.runs,
    help="Start from the networks of an earlier run.",
)
@click.option(
    "--epochs",
    type=Number.of(Stage1Settings, "epochs"),
    help="Passes over the studies; 0 keeps the initial weights.",
)
@click.option("--mlssl-epochs", type=Number.of(Stage2Settings, "epochs"), help="Passes of stage 2.")
@click.option(
    "--feature-views",
    type=Number.of(Stage2Settings, "feature_views"),
    help="Views of each study that stage 2 encodes once; 0 encodes new ones in every epoch.",
)
@click.option(
    "--batch-size",
    type=Number.of(Stage1Settings, "batch_size"),
    help="Studies per step and device.",
)
@click.option(
    "--image-size",
    multiple=True,
    type=PerModality(Number.of(Variant, "image_size")),
    metavar="[MODALITY=]N",
    help="Height and width of the views, in pixels.",
)
@click.option("--lr", type=Number.of(Stage1Settings, "lr"), help="Learning rate.")
@click.option("--seed", type=Number.of(Variant, "seed"), help="Seed of weights, order and views.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "32", "bf16-mixed", "16-mixed"]),
    help="auto: bf16 where the machine computes in it.",
)
@click.option(
    "--devices", type=Number.of(MachineSettings, "devices"), help="GPUs, or processes on a CPU."
)
@click.option("--num-nodes", type=Number.of(MachineSettings, "num_nodes"), help="Machines.")
@click.option(
    "--workers",
    type=Number.of(MachineSettings, "workers"),
    help="Processes that prepare views; chosen automatically by default.",
)
@setting_options
@plugin_file_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The run folder; a new one under runs/ by default.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@no_cache_option
@output_options
def pretrain(
    rename: tuple[str, ...],
    options: tuple[str, ...],
    out: Path | None,
    resume: bool,
    no_cache: bool,
    quiet: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Pre-train on images without labels.

    Without options, on the built-in synthetic studies in about a minute: SimCLR within each
    modality and a contrast across them (stage 1), then pseudo-labels that know of each other
    (stage 2).

    \b
      sm3kit pretrain --objective simclr --fusion sep_sep --data manifest:my.csv
      sm3kit pretrain --stage mlssl --init runs/one --relation msa
      sm3kit pretrain --recipe byol --data derm7pt:release_v0 --seed 1
      sm3kit pretrain --resume --out runs/simclr-sep_sep-tel-seed0
    """
    from sm3kit.data.progress import Reporter
    from sm3kit.python import pretraining

    # The last value of a modality holds.
    words = {n: dict(v) if n in PER_MODALITY else v for n, v in flags.items() if v != ()}
    words |= {"map": parsed_map(rename)} if rename else {}
    asked = pretraining.layer(words, parsed_settings(options))
    request = pretraining.request(asked, out, resume=resume)
    people = console(stderr=as_json, quiet=not request.speaks)
    outcome = pretraining.carry_out(request, surroundings(people, quiet=quiet, no_cache=no_cache))
    Reporter(people).say(f"done     {outcome.run.model}")
    if as_json and request.speaks:
        print_json(_document(outcome))


def _document(outcome: Outcome) -> dict[str, Any]:
    """The run folder, its files, and the ranks, for programs."""
    from sm3kit.python.pretraining import match_rows

    folder = outcome.run.folder
    names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    return {"run": str(folder), "files": sorted(names), "matched": match_rows(outcome)}
