"""`sm3kit evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import cloup
from cloup import option_group

from sm3kit.cli import completion
from sm3kit.cli.help.command import command
from sm3kit.cli.help.option import option
from sm3kit.cli.help.setting import evaluation_option, evaluation_plugin_option, machine_option
from sm3kit.cli.settings import (
    assignments,
    console,
    map_option,
    no_cache_option,
    other_data_option,
    output_options,
    parsed_map,
    parsed_options,
    plugin_file_option,
    surroundings,
)
from sm3kit.cli.streams import print_json
from sm3kit.core.errors import VariantError


@command()
@cloup.argument(
    "runs",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="RUN...",
    shell_complete=completion.runs,
    help="Folder of the run; two with --compare.",
)
@option_group(
    "Basics",
    evaluation_option(
        "--protocol",
        default_text="from the recipe of the run, usually probe",
        help="probe: train classifiers on frozen features. finetune: train the networks as well. "
        "knn: vote of the nearest training studies. match: rank of the true partner across "
        "modalities. clusters: agreement of the pseudo-labels of stage 2 with the true labels.",
    ),
    evaluation_option("--split", help="Split to evaluate on."),
    evaluation_option(
        "--drop",
        multiple=True,
        metavar="[SHARE:]MODALITY",
        default_text="none",
        help="Measure without the images of a modality, or of a share of the studies, such as "
        "0.5:clinic. Repeat for several. Training studies keep theirs.",
    ),
    evaluation_option(
        "--select",
        help="How the epoch (or k) is chosen. val_best: best on the validation split. last: "
        "the last epoch. test_best: best on the evaluated split, which is optimistically biased and marked "
        "as leaky.",
    ),
    option(
        "--compare",
        is_flag=True,
        help="Compare two runs: improvement of the second over the first, with paired intervals.",
    ),
)
@option_group("Data", other_data_option(), map_option)
@option_group(
    "Method",
    evaluation_plugin_option(
        "--classifier",
        family="classifiers",
        help="What learns from the labels: linear (the paper's), logistic (recommended for a probe, "
        "takes seconds), f4m, inception_combined, hccnn, giin, amfam, or a plugin.",
    ),
    evaluation_plugin_option(
        "--loss",
        family="losses",
        help="Loss of a label: ce, class_balanced, logit_adjusted, focal, asymmetric, or a plugin.",
    ),
    evaluation_plugin_option(
        "--sampler",
        family="samplers",
        help="Which studies make a batch: shuffle, label_balanced, cluster_balanced, or a plugin.",
    ),
    evaluation_option(
        "--missing",
        help="What stands for an absent modality in the joint feature. zeros: nothing. mean: its mean "
        "over the training studies. token: a vector that is learned. complete: a regression from the "
        "modalities that are there.",
    ),
    evaluation_option("--members", help="Networks whose probabilities are averaged."),
    evaluation_option(
        "--stack",
        help="Second stage. svm: a support vector machine per label on the probabilities and the "
        "metadata of a study.",
    ),
    evaluation_option(
        "--threshold",
        help="Which classes are predicted. argmax: the most likely one. f1, youden: every class that "
        "reaches its threshold, fitted to the validation split.",
    ),
    evaluation_option(
        "--scope",
        help="What is trained with labels. auto: the heads and the relation of stage 2; with finetune, "
        "everything.",
    ),
    assignments(
        "Set an option of a data set, a modality, or the evaluation (evaluate.weight_decay=0.01)."
    ),
    plugin_file_option,
)
@option_group(
    "Training",
    evaluation_option("--epochs", help="Epochs on the labelled studies."),
    evaluation_option("--batch-size", help="Studies per step."),
    evaluation_option("--lr", help="Learning rate."),
    evaluation_option(
        "--feature-views",
        help="Views of each study that a probe encodes once and reuses; 0 encodes new views in "
        "every epoch.",
    ),
    evaluation_option("--k", help="Neighbours of knn with --select last; otherwise k is selected."),
    evaluation_option(
        "--seed",
        default_text="the seed of the run",
        help="Random seed of the heads, the order of studies and the views.",
    ),
)
@option_group(
    "Hardware",
    machine_option("--devices", help="GPUs per machine, or processes on a CPU."),
    machine_option("--num-nodes", help="Machines."),
)
@option_group(
    "Output",
    option(
        "--label",
        default="",
        metavar="NAME",
        default_text="no name",
        help="Name of this evaluation, part of its file names, to keep it beside another of the "
        "same protocol and split with other settings.",
    ),
    no_cache_option,
    output_options,
)
def evaluate(
    runs: tuple[Path, ...],
    compare: bool,
    data: tuple[str, ...],
    rename: tuple[str, ...],
    options: tuple[str, ...],
    devices: int,
    num_nodes: int,
    label: str,
    no_cache: bool,
    quiet: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Evaluate the representations of a run.

    Examples:
      sm3kit evaluate runs/NAME
      sm3kit evaluate runs/NAME --protocol match --split val
      sm3kit evaluate runs/NAME --data derm7pt:release_v0
      sm3kit evaluate runs/NAME --lr 0.1 --label lr-0.1
      sm3kit evaluate runs/NAME runs/OTHER --compare
    """
    from sm3kit.cli.result_table import show, show_comparison
    from sm3kit.python.measuring import join, measure, prepare

    if len(runs) != 2 if compare else len(runs) != 1:
        wanted = "--compare needs two runs" if compare else "Give one run, or two and --compare"
        raise VariantError(f"{wanted}; got {len(runs)}: {', '.join(map(str, runs))}.")
    world = join(devices, num_nodes)
    out = console(stderr=as_json, quiet=world is not None and not world.is_first)
    around = surroundings(out, quiet=quiet, no_cache=no_cache)
    protocol = flags.pop("protocol")
    arguments = around, protocol, flags, parsed_options(options), data, parsed_map(rename)
    record = measure([prepare(run, *arguments, world=world) for run in runs], label)
    if not record:
        return  # The first process tells for all.
    (show_comparison if compare else show)(record, out, quiet)
    if as_json:
        print_json(record)
