"""The networks of a run as folders that other programs read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sm3kit import __version__
from sm3kit.core.errors import CheckpointError, DataError, SM3Error, VariantError
from sm3kit.core.files import whole_folder
from sm3kit.core.names import unknown
from sm3kit.data.pool import build_modality, open_dataset
from sm3kit.data.renaming import renamed
from sm3kit.datasets.base import ModalitySpec
from sm3kit.deployment.export_listing import check_free, keep_unlisted, write_listing
from sm3kit.deployment.finding import find_classifier
from sm3kit.deployment.model_card import model_card
from sm3kit.deployment.onnx_graph import PRESENT, check_onnx, write_onnx
from sm3kit.deployment.predictor import open_predictor
from sm3kit.deployment.statement import STATEMENT
from sm3kit.deployment.timm_folder import architecture_of, write_timm
from sm3kit.evaluation.classifier_file import ClassifierFile
from sm3kit.evaluation.record_file import read_record
from sm3kit.evaluation.subject import extractor_of
from sm3kit.modalities.base import Modality
from sm3kit.networks.backbone import provider_and_model
from sm3kit.nn.named_modules import module_key
from sm3kit.runs.tensor_file import write_tensors
from sm3kit.runs.trained import Trained

LOAD_TIMM = """
import timm
model = timm.create_model("local-dir:{folder}", pretrained=True, num_classes=0).eval()
data = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**data, is_training=False)
features = model(transform(image).unsqueeze(0))  # image: from PIL
"""
LOAD_SAFETENSORS = """
from safetensors.torch import load_file
weights = load_file("{folder}/model.safetensors")
start = {start!r}
state = {{n[len(start):]: w for n, w in weights.items() if n.startswith(start)}}
"""
LOAD_ONNX = """
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("{folder}/model.onnx")
inputs = {{{inputs}}}  # your images
inputs["present"] = np.ones((1, {count}), bool)  # False where an image is missing
probabilities = dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs)))
"""


def export(
    trained: Trained,
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
        modality = _chosen(trained, modality)
    with whole_folder(out.absolute(), keep_unlisted if force else None) as folder:
        facts: dict[str, Any] = {"program": f"sm3kit {__version__}", "statement": STATEMENT}
        facts |= {"format": form, **trained.record()}
        if form == "timm":
            # Fine-tuned weights only where they are asked for by name.
            tuned = (
                file if file and "finetune" in (protocol, classifier and file.protocol) else None
            )
            title, example, use = _timm(trained, file, tuned, modality, out, folder)
        elif form == "onnx":
            assert file is not None
            facts |= write_onnx(open_predictor(trained, file), folder / "model.onnx")
            title, example, use = _onnx(trained, file, facts, out)
        else:
            title, example, use = _safetensors(trained, file, out, folder)
        card = model_card(trained, title, example, file, result, use)
        (folder / "README.md").write_text(card, "utf-8")
        write_listing(folder, facts)


Card = tuple[str, str, list[str]]


def _timm(
    trained: Trained,
    file: ClassifierFile | None,
    tuned: ClassifierFile | None,
    name: str,
    out: Path,
    folder: Path,
) -> Card:
    provider, model = provider_and_model(trained.variant, name)
    seen = _modality(trained, file, name)
    networks = open_predictor(trained, tuned).extractor if tuned else extractor_of(trained, {})
    backbone: Any = networks.backbones[name]
    write_timm(backbone, architecture_of(backbone, model), name, seen, folder)
    made = "fine-tuned with labels" if tuned else "pre-trained, as `sm3kit embed` sees it"
    use = [
        f"The backbone for {name} images of {seen.channels} channels, {made}. `pretrained=True` is what makes timm read the weights. The "
        "transform scales the whole picture to the size of the views, without keeping its aspect "
        "ratio; a border that the run cut off on reading "
        f"({getattr(seen, 'border', 0)} pixels) is yours to cut."
    ]
    return f"{provider}/{model} for {name}", LOAD_TIMM.format(folder=out), use


def _safetensors(trained: Trained, file: ClassifierFile | None, out: Path, folder: Path) -> Card:
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
        write_tensors(folder / "classifier.safetensors", file.weights())
        classes = [f"{one.name} ({', '.join(one.classes)})" for one in file.labels]
        use.append(
            f"`classifier.safetensors` is what `sm3kit evaluate --protocol {file.protocol}` "
            "trained: `classifier.heads.heads.N.` is the linear head of label N, counted from 0: "
            f"{'; '.join(classes)}."
        )
    first = next(iter(trained.channels))
    example = LOAD_SAFETENSORS.format(folder=out, start=f"backbones.{module_key(first)}.model.")
    return f"All weights of {trained.folder.name}", example, use


def _onnx(trained: Trained, file: ClassifierFile, facts: Mapping[str, Any], out: Path) -> Card:
    names = facts["inputs"][PRESENT]["order"]
    inputs = ", ".join(
        f'{called!r}: np.zeros({(1, *file.readings[name].shape)}, "{file.readings[name].values}")'
        for called, name in zip(facts["inputs"], names, strict=False)
    )
    example = LOAD_ONNX.format(folder=out, inputs=inputs, count=len(names))
    lines = [
        f"- input `{name}`: {one['type']}, shape {one['shape']}"
        + (f", in the order {', '.join(one['order'])}" if "order" in one else "")
        for name, one in facts["inputs"].items()
    ]
    lines += [
        f"- output `{n}`: probabilities of {', '.join(c)}" for n, c in facts["outputs"].items()
    ]
    use = [
        "\n".join(lines),
        "Images are raw: colours in the order RGB, scaled to the size of the views as a whole. "
        "They are normalised in the graph, so give uint8 values of 0 to 255 as they come from a "
        "file (float32 inputs: values as the run's files hold them). Where an image is missing, "
        "give anything, such as zeros, and False in `present`. The number of studies is free.",
    ]
    return f"Classifier of {trained.folder.name}", example, use


def _chosen(trained: Trained, modality: str) -> str:
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
    trained: Trained, form: str, protocol: str | None, select: str | None, name: str
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


def _modality(trained: Trained, file: ClassifierFile | None, name: str) -> Modality:
    """How the images of a modality are seen: as a classifier says, else as the run's data say."""
    v = trained.variant
    if file is not None and name in file.readings:
        reading = file.readings[name]
        return build_modality(name, reading.spec, reading.image_size, {})
    try:
        spec = _spec(trained, name)
    except SM3Error as error:
        raise SM3Error(
            f"{trained.folder} has no classifier that says how {name} images are normalised, and "
            f"its data cannot be opened: {error} Mend that, or run sm3kit evaluate first."
        ) from error
    return build_modality(name, spec, int(v.of(name, "image_size")), v.options)


def _spec(trained: Trained, name: str) -> ModalitySpec:
    v = trained.variant
    datasets = [open_dataset(spec, v.options) for spec in v.data]
    tables = renamed([list(one.modalities) for one in datasets], v.map)
    return next(
        dataset.modalities[own]
        for dataset, table in zip(datasets, tables, strict=True)
        for own, common in table.items()
        if common == name
    )
