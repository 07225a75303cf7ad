"""`sm3kit pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from cloup import option_group

from sm3kit.cli import completion
from sm3kit.cli.help.command import command
from sm3kit.cli.help.option import option
from sm3kit.cli.help.setting import plugin_name_option, variant_option, weak_option
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
from sm3kit.core.names import alternatives
from sm3kit.core.variant import PER_MODALITY, Variant
from sm3kit.runs.recipes import DEFAULT_BASES

if TYPE_CHECKING:
    from sm3kit.data.progress import Reporter
    from sm3kit.training.outline import Outline


@command()
@option_group(
    "Basics",
    data_option,
    variant_option(
        "--recipe",
        multiple=True,
        metavar="NAME|FILE",
        shell_complete=completion.recipes,
        default_text=f"{alternatives(DEFAULT_BASES)}, automatic",
        help="Row of the paper or YAML file. Repeat to combine.",
    ),
    plugin_name_option(
        "--objective",
        multiple=True,
        family="objectives",
        help="Objective within each modality: simclr, byol, swav, barlow, dcl, dino, vicreg, "
        "distill, ssd_kd, or a plugin. May be repeated.",
    ),
    plugin_name_option(
        "--fusion",
        family="fusions",
        help="Fuse modalities by concat, sep_shared, sep_sep, sum, none, or a plugin.",
    ),
    variant_option(
        "--backbone",
        multiple=True,
        type=PerModality(click.STRING),
        metavar="[MODALITY=]NAME",
        shell_complete=completion.backbones,
        help="Any timm model, such as resnet18; MODALITY=NAME sets it for one modality.",
    ),
    variant_option("--epochs", help="Epochs of stage 1; 0 keeps the initial weights."),
    option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="RUN",
        default_text="new, in runs/",
        help="Folder of the run.",
    ),
    option("--resume", is_flag=True, help="Resume the run in --out."),
    option(
        "--dry-run",
        is_flag=True,
        help="Show what would be trained, the steps and the memory, without training.",
    ),
)
@option_group(
    "Data",
    map_option,
    variant_option(
        "--modality",
        multiple=True,
        metavar="NAME",
        default_text="all",
        help="Use only this modality. May be repeated.",
    ),
    variant_option(
        "--image-size",
        multiple=True,
        type=PerModality(Number.of(Variant, "image_size")),
        metavar="[MODALITY=]N",
        help="Height and width of the views in pixels.",
    ),
)
@option_group(
    "Method",
    variant_option(
        "--stage",
        help="Run stage 1, multi-modality SSL (mmssl); stage 2, multi-label SSL (mlssl), on the "
        "networks of --init or --weights; or both.",
    ),
    variant_option(
        "--weights",
        multiple=True,
        type=PerModality(click.STRING),
        metavar="[MODALITY=]WEIGHTS",
        shell_complete=completion.weights,
        help="Initial weights of the backbones: imagenet (downloaded once), none, or a file.",
    ),
    variant_option(
        "--init",
        type=click.Path(exists=True, file_okay=False),
        metavar="RUN",
        shell_complete=completion.runs,
        default_text="none",
        help="Start from the networks of an earlier run.",
    ),
    plugin_name_option(
        "--relation",
        family="relations",
        help="How stage 2 models relations between labels: none, proj, msa, tel, te, or a plugin.",
    ),
    plugin_name_option(
        "--clusterer",
        family="clusterers",
        help="How stage 2 clusters embeddings into pseudo-labels: faiss, torch, sklearn, release, "
        "sinkhorn, p2ot, confident, consensus, hdbscan, auto, or a plugin.",
    ),
    weak_option,
    plugin_name_option(
        "--sampler",
        family="samplers",
        help="How batches are drawn: shuffle, cluster_balanced (small clusters more often), or a plugin.",
    ),
    setting_options,
    plugin_file_option,
)
@option_group(
    "Training",
    variant_option("--mlssl-epochs", help="Epochs of stage 2 (mlssl)."),
    variant_option("--batch-size", help="Studies per step and device in stage 1."),
    variant_option(
        "--micro-batch",
        default_text="whole batch",
        help="Studies that the networks see at a time; the losses are those of the whole batch.",
    ),
    variant_option("--lr", help="Learning rate of stage 1."),
    variant_option(
        "--schedule", help="Keep the learning rate of stage 1, or bring it to zero at the end."
    ),
    variant_option(
        "--warmup-epochs", help="Epochs of stage 1 over which the learning rate grows from zero."
    ),
    variant_option(
        "--feature-views",
        help="Views of each study that stage 2 encodes once and reuses; 0 encodes new views in "
        "every epoch.",
    ),
    variant_option(
        "--seed", help="Random seed of the weights, the order of studies and the views."
    ),
)
@option_group(
    "Hardware",
    variant_option(
        "--precision",
        help="Number format of the computation; auto takes bf16 where the hardware supports it.",
    ),
    variant_option(
        "--compile", is_flag=True, default=None, default_text="off", help="Compile the backbones."
    ),
    variant_option("--devices", help="GPUs per machine, or processes on a CPU."),
    variant_option("--num-nodes", help="Machines."),
    variant_option("--workers", default_text="automatic", help="Processes that prepare images."),
    variant_option(
        "--max-time", metavar="HH:MM:SS|90m", help="Stop in time, with exit code 75; see --resume."
    ),
    variant_option("--views-on", help="Make random views in workers, or in batches on the GPU."),
)
@option_group(
    "Output",
    variant_option(
        "--logger",
        multiple=True,
        default_text="none",
        help="Also log to tensorboard, wandb, mlflow or csv, in RUN/logs. May be repeated.",
    ),
    no_cache_option,
    output_options,
)
def pretrain(
    rename: tuple[str, ...],
    options: tuple[str, ...],
    out: Path | None,
    resume: bool,
    dry_run: bool,
    no_cache: bool,
    quiet: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Pre-train on images without labels.

    Stage 1, multi-modality SSL (mmssl), trains the backbones. Stage 2, multi-label SSL (mlssl),
    freezes them and learns label embeddings from pseudo-labels.

    Examples:
      sm3kit pretrain --objective simclr --fusion sep_sep --data manifest:my.csv
      sm3kit pretrain --stage mlssl --init runs/NAME --relation msa
      sm3kit pretrain --recipe byol --data derm7pt:release_v0 --seed 1
      sm3kit pretrain --data manifest:my.csv --dry-run
      sm3kit pretrain --resume --out runs/simclr-sep_sep-tel-seed0
    """
    from sm3kit.data.progress import Reporter
    from sm3kit.python.request import carry_out, document, layer, outline_of, request

    # The last value of a modality holds.
    words = {n: dict(v) if n in PER_MODALITY else v for n, v in flags.items() if v != ()}
    words |= {"map": parsed_map(rename)} if rename else {}
    asked = request(layer(words, parsed_settings(options)), out, resume=resume)
    people = console(stderr=as_json, quiet=not asked.speaks)
    around = surroundings(people, quiet=quiet, no_cache=no_cache)
    if dry_run:
        _show(outline_of(asked, around), around.reporter, as_json)
        return
    outcome = carry_out(asked, around)
    Reporter(people).say(f"done     {outcome.run.model}")
    if as_json and asked.speaks:
        print_json(document(outcome))


def _show(outline: Outline, reporter: Reporter, as_json: bool) -> None:
    """What a run would be, and the record that it would write."""
    for line in outline.lines():
        reporter.say(line)
    for warning in outline.warnings():
        reporter.warn(warning)
    if as_json:
        print_json(outline.document())
    else:
        click.echo(f"\n# variant.yaml\n{outline.record().text()}")
    reporter.say("Nothing was trained or written. Leave out --dry-run to begin.")
