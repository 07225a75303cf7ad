"""`sm3kit export`."""

from __future__ import annotations

from pathlib import Path

import click

from sm3kit.cli import completion
from sm3kit.cli.settings import classifier_options, console, plugin_file_option


@click.command()
@click.argument("run", type=click.Path(path_type=Path), shell_complete=completion.runs)
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(["timm", "safetensors", "onnx"]),
    help="timm: one backbone, as timm.create_model loads it. safetensors: all weights of the run. "
    "onnx: the whole classifier, from raw images to probabilities.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--modality", default="", help="Whose backbone --format timm writes.")
@classifier_options
@plugin_file_option
@click.option("--force", is_flag=True, help="Write over a folder that is not empty.")
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
    """Write the networks of a run for other programs.

    \b
      sm3kit export runs/one --format timm --modality derm --out derm-backbone
      sm3kit export runs/one --format onnx --out classifier
    """
    from sm3kit.deployment.export import export as write
    from sm3kit.runs.run import Run

    write(
        Run(run).trained(),
        form,
        out,
        modality=modality,
        protocol=protocol,
        select=select,
        classifier=classifier,
        force=force,
    )
    console().print(f"written  {out}", highlight=False, markup=False)
