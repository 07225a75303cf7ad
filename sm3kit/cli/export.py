"""`sm3kit export`."""

from __future__ import annotations

from pathlib import Path

import click
from cloup import option_group

from sm3kit.cli.help.command import command
from sm3kit.cli.help.option import option
from sm3kit.cli.settings import classifier_options, console, plugin_file_option, run_argument, say


@command()
@run_argument
@option_group(
    "Basics",
    option(
        "--format",
        "form",
        required=True,
        type=click.Choice(["timm", "safetensors", "onnx"]),
        help="timm: one backbone, to be loaded by timm.create_model. safetensors: all weights of "
        "the run. onnx: the whole classifier, from raw images to probabilities.",
    ),
    option(
        "--out",
        required=True,
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder to create.",
    ),
    option(
        "--modality",
        default="",
        metavar="NAME",
        default_text="the only one",
        help="The modality whose backbone --format timm exports.",
    ),
    option("--force", is_flag=True, help="Overwrite a folder that is not empty."),
)
@option_group("Classifier", classifier_options, plugin_file_option)
def export(
    run: Path,
    form: str,
    out: Path,
    modality: str,
    protocol: str | None,
    select: str | None,
    classifier: str,
    force: bool,
) -> None:
    """Export the networks of a run for other programs.

    Examples:
      sm3kit export runs/NAME --format timm --modality derm --out derm-backbone
      sm3kit export runs/NAME --format onnx --out classifier
    """
    from sm3kit.deployment.export import export as write
    from sm3kit.runs.folder import RunFolder

    write(
        RunFolder(run).trained(),
        form,
        out,
        modality=modality,
        protocol=protocol,
        select=select,
        classifier=classifier,
        force=force,
    )
    say(console(), f"written  {out}")
