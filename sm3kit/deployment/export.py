"""The networks of a run as folders that other programs read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from sm3kit import __version__
from sm3kit.core.errors import CheckpointError, DataError, VariantError
from sm3kit.core.files import whole_folder
from sm3kit.core.names import unknown
from sm3kit.core.plain_json import parse
from sm3kit.deployment import STATEMENT
from sm3kit.deployment.finding import find_classifier
from sm3kit.deployment.model_card import Card, model_card
from sm3kit.deployment.onnx_graph import check_onnx, onnx_card, write_onnx
from sm3kit.deployment.predictor import open_predictor
from sm3kit.deployment.timm_folder import export_timm
from sm3kit.evaluation.classifier_file import ClassifierFile, read_weights
from sm3kit.evaluation.record_file import read_record
from sm3kit.evaluation.settings import Settings
from sm3kit.nn.named_modules import module_key
from sm3kit.runs.model import TrainedModel
from sm3kit.runs.tensor_file import write_tensors

LISTING = "sm3kit.json"
LOAD_SAFETENSORS = """
from safetensors.torch import load_file
weights = load_file("{folder}/model.safetensors")
start = {start!r}
state = {{n[len(start):]: w for n, w in weights.items() if n.startswith(start)}}
"""


def export(
    trained: TrainedModel,
    form: str,
    out: Path,
    *,
    modality: str = "",
    protocol: str | None = None,
    select: str | None = None,
    classifier: str = "",
    force: bool = False,
) -> None:
    """Writes a folder: weights, what they are, and a model card; whole or not at all.

    Args:
        form: "timm" writes one backbone as timm loads it, "safetensors" all weights of the run,
            "onnx" the whole classifier as one graph.
        modality: of the backbone for "timm"; may be left out where the run has one alone.
        protocol, select, classifier: which classifier, as `find_classifier` takes them.
        force: write over a folder that is not empty.

    Raises:
        SM3Error: no such modality or classifier, a library that is missing, or no place to write.
    """
    check_free(out, force)
    if trained.folder.resolve().is_relative_to(out.resolve()):
        raise VariantError(f"--out {out} holds the run itself. Give another folder.")
    file = _classifier(trained, form, protocol, select, classifier)
    result = None if file is None else _result(file)
    if form == "onnx":
        check_onnx()
    if form == "timm":
        modality = _modality(trained, modality)
    with whole_folder(out.absolute(), keep_unlisted if force else None) as folder:
        facts: dict[str, Any] = {"program": f"sm3kit {__version__}", "statement": STATEMENT}
        facts |= {"format": form, **trained.record()}
        if form == "timm":
            # Fine-tuned weights only where they are asked for by name.
            tuned = (
                file if file and "finetune" in (protocol, classifier and file.protocol) else None
            )
            title, example, use = export_timm(trained, file, tuned, modality, out, folder)
        elif form == "onnx":
            assert file is not None
            facts |= write_onnx(open_predictor(trained, file), folder / "model.onnx")
            title, example, use = onnx_card(trained, file, facts, out)
        else:
            title, example, use = _safetensors(trained, file, out, folder)
        card = model_card(trained, title, example, file, result, use)
        (folder / "README.md").write_text(card, "utf-8")
        write_listing(folder, facts)


def _safetensors(
    trained: TrainedModel, file: ClassifierFile | None, out: Path, folder: Path
) -> Card:
    write_tensors(folder / "model.safetensors", trained.weights)
    parts = {
        "backbones.MODALITY.": "networks from a view to a feature; below `model.` in timm's names",
        "fusion.": "from features to the shared space of pre-training",
        "relation.": "from the joint feature to label embeddings (stage 2)",
        "prototypes.": "clusters of stage 2, in the order of the labels",
    }
    there = {
        n: t
        for n, t in parts.items()
        if any(w.startswith(n.partition(".")[0]) for w in trained.weights)
    }
    use = [
        "Tensors of `model.safetensors` by the start of their names:",
        "\n".join(f"- `{name}` {text}." for name, text in there.items()),
    ]
    if file is not None:
        write_tensors(folder / "classifier.safetensors", read_weights(file.path))
        classes = [f"{label.name} ({', '.join(label.classes)})" for label in file.labels]
        use.append(
            f"`classifier.safetensors` is what `sm3kit evaluate --protocol {file.protocol}` "
            "trained: `classifier.heads.heads.N.` is the linear head of label N, counted from 0: "
            f"{'; '.join(classes)}."
            + f" `filling.` stands in for a missing modality ({file.missing})."
            * (file.missing != Settings.missing)
        )
    first = next(iter(trained.channels))
    example = LOAD_SAFETENSORS.format(folder=out, start=f"backbones.{module_key(first)}.model.")
    return f"All weights of {trained.folder.name}", example, use


def _modality(trained: TrainedModel, modality: str) -> str:
    known = list(trained.channels)
    if modality in known:
        return modality
    if modality:
        raise VariantError(f"--modality: {unknown('modality', modality, known)}")
    if len(known) > 1:
        raise VariantError(
            f"--format timm writes one backbone, and the run has {', '.join(known)}. Give "
            "--modality NAME."
        )
    return known[0]


def _classifier(
    trained: TrainedModel, form: str, protocol: str | None, select: str | None, name: str
) -> ClassifierFile | None:
    """The classifier; where the format can do without, none if there is none and none is named."""
    try:
        return find_classifier(trained, protocol, select, name)
    except CheckpointError:
        if form == "onnx" or protocol or select:
            raise
        return None


def _result(file: ClassifierFile) -> dict[str, Any] | None:
    try:
        return read_record(file.path.with_suffix(".json"))
    except DataError:
        return None


def check_free(path: Path, force: bool) -> None:
    """Says so before any work if a folder may not be written.

    Raises:
        VariantError: it is no folder, or it is not empty and `force` is not given.
    """
    if path.exists() and not path.is_dir():
        raise VariantError(f"--out {path} is a file, not a folder. Give another name.")
    if path.is_dir() and any(path.iterdir()) and not force:
        raise VariantError(
            f"--out {path} is not empty. Give another folder, or --force to overwrite it."
        )


def write_listing(folder: Path, facts: dict[str, object]) -> None:
    """Writes what the folder is, and which files belong to it; comes last."""
    files = sorted([LISTING, *(file.name for file in folder.iterdir())])
    text = json.dumps({**facts, "files": files}, indent=2, ensure_ascii=False)
    (folder / LISTING).write_text(text + "\n", "utf-8")
    for name in files:  # Weights are written for their owner alone.
        shutil.copymode(folder / LISTING, folder / name)


def keep_unlisted(old: Path, new: Path) -> None:
    """Moves the files that no export has written from a replaced folder to the new one."""
    try:
        written = set(parse((old / LISTING).read_text("utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError, DataError):
        written = set()
    for file in old.iterdir():
        if file.name not in written and not (new / file.name).exists():
            file.rename(new / file.name)
