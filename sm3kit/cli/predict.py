"""`sm3kit predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import cloup
from cloup import option_group

from sm3kit.cli import completion
from sm3kit.cli.help.command import command
from sm3kit.cli.help.option import option
from sm3kit.cli.settings import (
    SPECS,
    classifier_options,
    console,
    data_options,
    json_option,
    map_option,
    parsed_map,
    parsed_options,
    plugin_file_option,
    surroundings,
)
from sm3kit.cli.streams import print_json


@command()
@cloup.argument(
    "run",
    required=False,
    type=click.Path(path_type=Path),
    metavar="[RUN]",
    shell_complete=completion.runs,
    help="Folder of the run; --run for several.",
)
@option_group(
    "Basics",
    option(
        "--run",
        "runs",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="RUN",
        help="Folder of a run. Repeat to average the probabilities of several.",
    ),
    option(
        "--image",
        "images",
        multiple=True,
        metavar="NAME=FILE",
        help="Image of the study, by modality, such as derm=a.jpg. Repeat for more modalities; some "
        "may be missing.",
    ),
    option(
        "--manifest",
        type=click.Path(path_type=Path),
        metavar="FILE.csv",
        default_text="none",
        help="CSV file with a row per study: an id, and a column of paths for each modality.",
    ),
    option(
        "--data",
        multiple=True,
        metavar="SPEC",
        shell_complete=completion.data_specs,
        help=f"Studies of a data set: {SPECS}.",
    ),
    option(
        "--split",
        type=click.Choice(["train", "val", "test"]),
        default_text="all of --data",
        help="Predict only this split of --data or, without --data, of the data of the run.",
    ),
    option(
        "--drop",
        multiple=True,
        metavar="[SHARE:]MODALITY",
        default_text="none",
        help="Leave out the images of a modality, or those of a share of the studies (0.5:clinic). "
        "Repeat for several.",
    ),
)
@option_group("Data", map_option, data_options)
@option_group("Classifier", classifier_options, plugin_file_option)
@option_group(
    "Saliency",
    option(
        "--saliency",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        default_text="none",
        help="Save Grad-CAM images, which show what influenced the prediction, to this folder.",
    ),
    option(
        "--label",
        default="",
        metavar="NAME",
        default_text="the first",
        help="The label that --saliency explains.",
    ),
    option(
        "--class",
        "class_name",
        default="",
        metavar="NAME",
        default_text="the predicted class",
        help="The class that --saliency explains.",
    ),
)
@option_group(
    "Output",
    option(
        "--csv",
        "csv_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        default_text="none",
        help="Write a CSV file with a row per study.",
    ),
    option("--no-cache", is_flag=True, help="Do not cache decoded images."),
    json_option,
)
@click.pass_context
def predict(
    context: click.Context,
    run: Path | None,
    runs: tuple[Path, ...],
    images: tuple[str, ...],
    manifest: Path | None,
    data: tuple[str, ...],
    split: str | None,
    drop: tuple[str, ...],
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

    The classifiers are those that `sm3kit evaluate RUN` has trained. Give studies with --image,
    --manifest or --data, or take a --split of the data of the run.

    Examples:
      sm3kit predict runs/NAME --image derm=a.jpg --image clinic=b.jpg
      sm3kit predict runs/NAME --manifest new.csv --csv predictions.csv
      sm3kit predict --run runs/NAME --run runs/OTHER --split test --json
    """
    from sm3kit.cli.tables import show_predictions
    from sm3kit.deployment.predict import predict as answer
    from sm3kit.deployment.predict import write_csv
    from sm3kit.deployment.predictor import open_predictors
    from sm3kit.deployment.question import Question

    folders = _folders(run, runs)
    question = Question(
        *(_images(images), manifest, data, split),
        *(parsed_map(rename), parsed_options(options), drop),
    )
    _check(question, saliency, label, class_name)
    out = console(stderr=as_json)
    predictors = open_predictors(folders, protocol, select, classifier)
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
    return folders


def _images(pairs: Sequence[str]) -> dict[str, str]:
    files: dict[str, str] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise click.UsageError(f"--image needs NAME=FILE, such as derm=a.jpg, not {pair!r}.")
        if name in files:
            raise click.UsageError(
                f"--image {name}=… is given twice, but a study has one image per modality "
                "here. For several studies, use --manifest."
            )
        files[name] = path
    return files


def _check(question: Any, saliency: Path | None, label: str, class_name: str) -> None:
    ways = [bool(question.images), question.manifest is not None, bool(question.data)]
    if sum(ways) > 1 or (question.split and any(ways[:2])):
        raise click.UsageError(
            "Give only one of --image, --manifest and --data; --split goes with --data or alone."
        )
    if not any(ways) and not question.split:
        raise click.UsageError(
            "There is nothing to predict. Give --image NAME=FILE, --manifest FILE, --data SPEC, or "
            "--split test for the run's own data."
        )
    if question.drop and question.images:
        raise click.UsageError("--drop is for many studies. Of a single one, leave out an --image.")
    if (label or class_name) and saliency is None:
        raise click.UsageError("--label and --class need --saliency DIR.")
