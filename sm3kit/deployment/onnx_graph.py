"""The whole classifier as one ONNX graph: raw views in, class probabilities out."""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from packaging.version import Version
from torch import Tensor, nn

from sm3kit.core.errors import SM3Error
from sm3kit.core.names import free_name
from sm3kit.deployment import STATEMENT
from sm3kit.deployment.calling import thresholds_of, to_decide
from sm3kit.deployment.model_card import Card
from sm3kit.deployment.predictor import Predictor
from sm3kit.evaluation.classifier_file import ClassifierFile
from sm3kit.evaluation.labelling.ensemble import merged_streams
from sm3kit.evaluation.labelling.label_network import of_raw_views
from sm3kit.runs.model import TrainedModel

TOLERANCE = 1e-4
PRESENT = "present"
# Before, torch.export fails on matrix products and batch norms of a free number of studies.
SINCE = Version("2.9")
OPSET = 17  # The first with a layer norm.
LOAD_ONNX = """
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("{folder}/model.onnx")
inputs = {{{inputs}}}  # your images
inputs["present"] = np.ones((1, {count}), bool)  # False where an image is missing
probabilities = dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs)))
"""


class Graph(nn.Module):
    """Class probabilities of raw evaluation views, with a mask of the images that are there.

    Args:
        predictor: networks and classifier.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.names = [name for name in predictor.streams if name in predictor.modalities]
        self.branches, self.network = predictor.branches, predictor.network
        self.members = predictor.members
        self.labels = [label.name for label in predictor.file.labels]
        self.decision = predictor.file.decision

    def forward(self, views: list[Tensor], present: Tensor) -> list[Tensor]:
        """Probabilities [(B, C)] * K.

        Args:
            views: [(B, C, S, S)] of each modality in `names`, as its evaluation view is; any
                values where the image is missing.
            present: (B, M) bool, in the order of `names`.
        """
        masks = {name: present[:, number] for number, name in enumerate(self.names)}
        for name in self.branches.widths:
            masks.setdefault(name, torch.zeros_like(present[:, 0]))
        raw = dict(zip(self.names, views, strict=True))
        streams = [of_raw_views(member, branches, raw, masks) for branches, member in self.members]
        decided = self.network.decide(merged_streams(self.network, streams))
        return self.decision.calibrate(self.labels, decided)


def check_onnx() -> None:
    """Says so before any work if something is not installed.

    Raises:
        SM3Error: torch.onnx needs onnxscript, and the result is tried with onnxruntime.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        _library(name)


def write_onnx(predictor: Predictor, path: Path) -> dict[str, Any]:
    """Writes the graph, tries it against torch, and says what goes in and out.

    Inputs are `(batch, C, S, S)` for each modality, raw evaluation views: uint8 from 0 to 255
    where images are read as bytes, float32 as read else; they are normalised in the graph.
    `present` is `(batch, modalities)` bool. Outputs are `(batch, classes)` for each label. They
    are called as modalities and labels; where two would be called the same, one has a `_` behind.

    Raises:
        SM3Error: a library is missing, the networks cannot be expressed, or the graph gives other
            probabilities.
    """
    check_onnx()
    if predictor.file.decision.stack is not None:
        raise SM3Error(
            f"--format onnx: {predictor.file.path} has a second stage (--stack svm), which a graph "
            "cannot hold. Export a classifier that was evaluated without it: --classifier NAME."
        )
    graph = Graph(predictor).eval()
    facts = _facts(predictor, graph.names)
    fast = torch.backends.mha.get_fastpath_enabled()
    # The fused kernel of inference has no equal in ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # What the exporters say of their own ways; the result is tried below.
            warnings.simplefilter("ignore")
            write = _export if Version(torch.__version__) >= SINCE else _trace
            write(graph, _draw(predictor, graph.names, 2), path, facts)
    except Exception as error:  # The exporter has no error of its own for what it does not know.
        reason = " ".join(str(error).split())[:300]
        raise SM3Error(f"The networks cannot be written as ONNX: {reason}") from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    _try(graph, path, predictor, list(facts["inputs"]))
    return facts


def _export(graph: Graph, inputs: list[Tensor], path: Path, facts: Mapping[str, Any]) -> None:
    """Writes the graph by torch.export."""
    batch = torch.export.Dim("batch")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    program: Any = torch.onnx.export(
        graph,
        (inputs[:-1], inputs[-1]),
        dynamo=True,
        verbose=False,
        input_names=list(facts["inputs"]),
        output_names=list(facts["outputs"]),
        dynamic_shapes=([{0: batch} for _ in graph.names], {0: batch}),
    )
    for key, value in facts.items():
        program.model.metadata_props[key] = json.dumps(value, ensure_ascii=False)
    program.save(str(path))


def _trace(graph: Graph, inputs: list[Tensor], path: Path, facts: Mapping[str, Any]) -> None:
    """Writes the graph by TorchScript."""
    torch.onnx.export(
        graph,
        (inputs[:-1], inputs[-1]),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=list(facts["inputs"]),
        output_names=list(facts["outputs"]),
        dynamic_axes={name: {0: "batch"} for name in (*facts["inputs"], *facts["outputs"])},
    )
    library = _library("onnx")
    model = library.load(path)
    props = {key: json.dumps(value, ensure_ascii=False) for key, value in facts.items()}
    library.helper.set_model_props(model, props)
    library.save(model, path)


def _facts(predictor: Predictor, names: Sequence[str]) -> dict[str, Any]:
    readings = predictor.file.readings
    inputs: dict[str, Any] = {}
    for name in names:
        called = free_name(name, {PRESENT, *inputs})
        inputs[called] = {"shape": ["batch", *readings[name].shape], "type": readings[name].values}
    inputs[PRESENT] = {"shape": ["batch", len(names)], "type": "bool", "order": list(names)}
    outputs: dict[str, list[str]] = {}
    for label in predictor.file.labels:
        outputs[free_name(label.name, {*inputs, *outputs})] = list(label.classes)
    facts = {"statement": STATEMENT, "inputs": inputs, "outputs": outputs}
    thresholds = thresholds_of([predictor.file])
    return {**facts, **({"thresholds": thresholds} if thresholds else {})}


def _draw(predictor: Predictor, names: Sequence[str], count: int) -> list[Tensor]:
    """Random views of all modalities, and a mask."""
    rng = torch.Generator().manual_seed(count)
    views = []
    for name in names:
        reading = predictor.file.readings[name]
        values = torch.rand(count, *reading.shape, generator=rng)
        views.append((255 * values).to(torch.uint8) if reading.values == "uint8" else values)
    present = torch.ones(count, len(names), dtype=torch.bool)
    present[1:, 0] = len(names) == 1
    return [*views, present]


def _try(graph: Graph, path: Path, predictor: Predictor, called: Sequence[str]) -> None:
    """Compares the graph with torch for one study and for several, with and without an image."""
    runtime = _library("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        inputs = _draw(predictor, graph.names, count)
        feed: Mapping[str, np.ndarray] = {
            name: rows.numpy() for name, rows in zip(called, inputs, strict=True)
        }
        with torch.inference_mode():
            wanted = graph(inputs[:-1], inputs[-1])
        for label, rows, graph_rows in zip(
            predictor.file.labels, wanted, session.run(None, feed), strict=True
        ):
            away = float(np.abs(rows.numpy() - graph_rows).max())
            if not away <= TOLERANCE:
                raise SM3Error(
                    f"The ONNX graph and torch differ in the probabilities of {label.name} by "
                    f"{away:.1g}. Report it with the backbone, and use another version of torch."
                )


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SM3Error(
            f"--format onnx needs {name}, which is not installed: pip install 'sm3kit[onnx]'"
        ) from error


def onnx_card(
    trained: TrainedModel, file: ClassifierFile, facts: Mapping[str, Any], out: Path
) -> Card:
    """What the model card says of a graph; `facts` are those of `write_onnx`."""
    names = facts["inputs"][PRESENT]["order"]
    inputs = ", ".join(
        f'{called!r}: np.zeros({(1, *file.readings[name].shape)}, "{file.readings[name].values}")'
        for called, name in zip(facts["inputs"], names, strict=False)
    )
    example = LOAD_ONNX.format(folder=out, inputs=inputs, count=len(names))
    lines = [
        f"- input `{name}`: {about['type']}, shape {about['shape']}"
        + (f", in the order {', '.join(about['order'])}" if "order" in about else "")
        for name, about in facts["inputs"].items()
    ]
    lines += [
        f"- output `{n}`: probabilities of {', '.join(c)}" for n, c in facts["outputs"].items()
    ]
    use = [
        "\n".join(lines),
        "Images are raw: colours in the order RGB, scaled to the size of the views as a whole. "
        "They are normalised in the graph, so give uint8 values of 0 to 255 as they come from a "
        "file (float32 inputs: values as the run's files hold them). Where an image is missing, "
        "give anything, such as zeros, and False in `present`. Any number of studies may be given.",
        *to_decide(file),
    ]
    return f"Classifier of {trained.folder.name}", example, use
