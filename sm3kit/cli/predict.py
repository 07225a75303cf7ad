"""`sm3kit predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sm3kit.cli import completion
from sm3kit.cli.settings import (
    classifier_options,
    console,
    json_option,
    map_option,
    parsed_map,
    parsed_options,
    plugin_file_option,
    surroundings,
)
from sm3kit.cli.streams import print_json
from sm3kit.core.errors import VariantError


@click.command()
@click.argument(
    "run",
    required=False,
    type=click.Path(path_type=Path),
    metavar="[RUN]",
    shell_complete=completion.runs,
)
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A run; give several for the mean of their probabilities.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="NAME=FILE",
    help="An image of one study, by its modality: derm=a.jpg. A modality may be missing.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    help="A CSV file with a row per study: id and a column of paths per modality.",
)
@click.option(
    "--data",
    multiple=True,
    metavar="SPEC",
    help="Studies of a data set: derm7pt:DIR, milk10k:DIR, manifest:FILE.csv, synthetic.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="Only this split of --data, or of the run's own data.",
)
@map_option
@classifier_options
@click.option(
    "--saliency",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write pictures of where a class is seen (Grad-CAM) into this folder.",
)
@click.option("--label", default="", help="The label of --saliency; the first.")
@click.option("--class", "class_name", default="", help="Its class; the predicted one.")
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="DATASET.OPTION=VALUE",
    help="Set an option of the data set, such as manifest.modalities=ct,mri.",
)
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write a row per study.")
@plugin_file_option
@json_option
@click.option("--no-cache", is_flag=True, help="Do not keep decoded images.")
@click.pass_context
def predict(
    context: click.Context,
    run: Path | None,
    runs: tuple[Path, ...],
    images: tuple[str, ...],
    manifest: Path | None,
    data: tuple[str, ...],
    split: str | None,
    rename: tuple[str, ...],
    protocol: str | None,
    select: str | None,
    classifier: str,
    saliency: Path | None,
    label: str,
    class_name: str,
    options: tuple[str, ...],
    csv_file: Path | None,
    as_json: bool,
    no_cache: bool,
) -> None:
    """Predict the labels of new studies.

    \b
      sm3kit evaluate runs/one
      sm3kit predict runs/one --image derm=a.jpg --image clinic=b.jpg
      sm3kit predict runs/one --manifest new.csv --csv predictions.csv
      sm3kit predict --run runs/one --run runs/two --split test --json
    """
    from sm3kit.cli.tables import show_predictions
    from sm3kit.deployment.predict import predict as answer
    from sm3kit.deployment.predict import write_csv
    from sm3kit.deployment.predictor import find_classifier, open_predictor
    from sm3kit.deployment.question import Question
    from sm3kit.runs.run import Run

    folders = _folders(run, runs)
    question = Question(
        _images(images), manifest, data, split, parsed_map(rename), parsed_options(options)
    )
    _check(question, saliency, label, class_name)
    out = console(stderr=as_json)
    predictors = []
    for folder in folders:
        trained = Run(folder).trained()
        file = find_classifier(trained, protocol, select, classifier)
        predictors.append(open_predictor(trained, file))
    if saliency is not None:
        from sm3kit.deployment.saliency import check_saliency

        check_saliency(predictors, label, class_name)
    around = surroundings(out, no_cache=no_cache)
    cache = around.images
    record = answer(predictors, question, cache, around.reporter)
    if saliency is not None:
        from sm3kit.deployment.saliency import explain

        only = predictors[0]
        record["saliency"] = explain(only, question, cache, record, saliency, label, class_name)
    if csv_file is not None:
        write_csv(record, csv_file)
        record["csv"] = str(csv_file)
    show_predictions(record, out)
    if as_json:
        print_json(record)
    if record["unreadable"]:
        context.exit(1)


def _folders(run: Path | None, runs: Sequence[Path]) -> list[Path]:
    folders = [*([run] if run else []), *runs]
    if not folders:
        raise click.UsageError("Give a run, or several with --run.")
    if len(set(folders)) < len(folders):
        raise VariantError("A run is given twice; its mean with itself says nothing new.")
    return folders


def _images(pairs: Sequence[str]) -> dict[str, str]:
    files: dict[str, str] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise click.UsageError(f"--image wants NAME=FILE, such as derm=a.jpg, not {pair!r}.")
        if name in files:
            raise click.UsageError(
                f"--image {name}=… is given twice, and one study has one image of a modality "
                "here. For several studies give a --manifest."
            )
        files[name] = path
    return files


def _check(question: Any, saliency: Path | None, label: str, class_name: str) -> None:
    ways = [bool(question.images), question.manifest is not None, bool(question.data)]
    if sum(ways) > 1 or (question.split and any(ways[:2])):
        raise click.UsageError(
            "Give one of --image, --manifest and --data; --split goes with --data, or alone."
        )
    if not any(ways) and not question.split:
        raise click.UsageError(
            "There is nothing to predict. Give --image NAME=FILE, --manifest FILE, --data SPEC, or "
            "--split test for the run's own data."
        )
    if (label or class_name) and saliency is None:
        raise click.UsageError("--label and --class say what --saliency shows. Give its folder.")
