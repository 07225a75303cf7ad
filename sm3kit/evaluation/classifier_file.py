"""The file of a trained classifier: its weights, and all that a prediction needs to know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sm3kit.core.errors import CheckpointError, DataError
from sm3kit.core.plain_json import check_shape, parse
from sm3kit.data.viewing import spec_of
from sm3kit.datasets.base import LabelSpec, ModalitySpec
from sm3kit.evaluation.decisions.decision import DECISION, PLAIN, Decision
from sm3kit.evaluation.labelling.classifier import ClassifierSpec
from sm3kit.evaluation.labelling.ensemble import Ensemble
from sm3kit.evaluation.labelling.label_embedding import LabelEmbedding
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.nn.finite import first_two, not_finite
from sm3kit.runs.record import versions
from sm3kit.runs.tensor_file import write_tensors

FORMAT = 1
REMEDY = "Free some space, then evaluate again."
AS_IT_IS = "protocol split select label leaky seen transfer scope seed chosen precision model"
# What the file says of itself, some of it kept as it is; of a label its name, classes and the one that is reported.
FACTS = {
    **dict.fromkeys(("protocol", "split", "select", "label?"), str),
    **dict.fromkeys(("scope", "precision", "model", "missing?"), str),
    **dict.fromkeys(("leaky", "seen?", "transfer", "dropped?"), bool),
    "format": (int, str),
    "seed": int,
    "data": [str],
    "chosen": {"*": (int, float)},
    "labels": [list],
    "places": (list, type(None)),
    "classifier?": {"name": str, "options": dict, "members": int, "ensemble": bool},
    "decision?": DECISION,
    "readings": {
        "*": {"plugin": str, "options": dict, "image_size": int, "shape": [int], "values": str}
    },
}


@dataclass(frozen=True)
class Reading:
    """How the images of one modality came to the classifier.

    Attributes:
        spec: the modality plugin with all options that were set.
        image_size: S of the views, in pixels.
        shape: (C, H, W) of a view.
        values: type of its values, "uint8" or "float32".
    """

    spec: ModalitySpec
    image_size: int
    shape: tuple[int, ...]
    values: str


@dataclass(frozen=True)
class ClassifierFile:
    """What `sm3kit evaluate` left of a classifier, without its weights.

    Attributes:
        path: the file.
        protocol, split, select: how it was trained, measured and chosen.
        label: the name of its evaluation; empty if it has none.
        leaky: whether it was chosen on the split that it was measured on.
        seen: whether pre-training saw studies that it was measured on.
        transfer: whether it learned from other data than the run.
        dropped: whether it was measured on studies that had lost images.
        missing: the rule for absent modalities.
        data: what it learned from.
        scope: what learned.
        seed: of heads, order and views.
        chosen: {"epoch": 12}.
        precision: of the networks, as Lightning names it.
        model: hash of the model file of the run.
        labels: of the K heads, in order.
        places: which label of stage 2 each of them is; None without a relation.
        classifier: what learned.
        members: how many networks there are.
        ensemble: whether they are kept as an ensemble, as two or more are.
        decision: how its logits become classes.
        readings: {modality: how its images were read}, of those that the data had.
    """

    path: Path
    protocol: str
    split: str
    select: str
    label: str
    leaky: bool
    seen: bool
    transfer: bool
    dropped: bool
    missing: str
    data: tuple[str, ...]
    scope: str
    seed: int
    chosen: Mapping[str, int]
    precision: str
    model: str
    labels: tuple[LabelSpec, ...]
    places: tuple[int, ...] | None
    classifier: ClassifierSpec
    members: int
    ensemble: bool
    decision: Decision
    readings: Mapping[str, Reading]


def read_weights(path: Path) -> dict[str, Tensor]:
    """All weights of a classifier by name.

    Raises:
        CheckpointError: it is damaged, or its training diverged.
    """
    try:
        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        bad = not_finite(state)
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200].removesuffix(".")
        raise CheckpointError(
            f"The classifier {path} cannot be read: {reason}. Evaluate the run again."
        ) from error
    if bad:
        raise CheckpointError(
            f"The classifier {path} comes from a training that diverged: {len(bad)} of "
            f"{len(state)} tensors ({first_two(bad)}) are not finite. Evaluate the run again with "
            "a lower --lr."
        )
    return state


def save_classifier(
    network: nn.Module,
    path: Path,
    subject: Subject,
    settings: Settings,
    record: Mapping[str, Any],
    decision: Decision = PLAIN,
) -> None:
    """Writes a trained network with what a prediction needs; whole or not at all.

    Args:
        record: of the evaluation.
        decision: how its logits become classes.
    """
    same = ("protocol", "split", "select", "label", "leaky", "transfer", "data", "scope", "chosen")
    embedding = next((m for m in network.modules() if isinstance(m, LabelEmbedding)), None)
    classifier = ClassifierSpec.of(settings.classifier, settings.options)
    # A fine-tuned network predicts in float32, whatever it was trained in.
    precision = subject.encoder.precision if settings.protocol == "probe" else "32-true"
    facts = {
        "format": FORMAT,
        **{name: record[name] for name in same},
        "seen": bool(record["seen"]),
        "dropped": bool(settings.drop),
        "missing": settings.missing,
        "seed": settings.seed,
        "precision": precision,
        "model": subject.trained.file_hash,
        "labels": [[label.name, label.classes, label.reported] for label in subject.pool.labels],
        "places": None if embedding is None else embedding.order,
        "classifier": {"name": classifier.name, "options": dict(classifier.options)}
        | {"members": settings.members, "ensemble": isinstance(network, Ensemble)},
        "decision": decision.facts(),
        "readings": {name: _reading(subject, name) for name in subject.pool.modalities},
        "versions": versions(),
    }
    kept = {"scope": str(record["scope"]), "sm3kit": json.dumps(facts)}
    write_tensors(path, network.state_dict() | decision.tensors(), kept, REMEDY)


def read_classifier(path: Path) -> ClassifierFile:
    """What is known of a classifier; its weights are not read.

    Raises:
        CheckpointError: the file is damaged, or of an sm3kit that did not keep these facts.
    """
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("sm3kit")
        if text is None:
            raise ValueError("it does not say how its images are read")
        facts = parse(text)
        check_shape(facts, FACTS)
        if facts["format"] != FORMAT:
            raise ValueError(f"it has format {facts['format']!r} instead of {FORMAT}")
        return _understood(path, facts)
    except (SafetensorError, OSError, TypeError, ValueError, DataError) as error:
        reason = " ".join(str(error).split())[:200].removesuffix(".")
        raise CheckpointError(
            f"The classifier {path} cannot be used: {reason}. Make it again: sm3kit evaluate "
            f"{path.parent.parent}"
        ) from error


def _understood(path: Path, facts: dict[str, Any]) -> ClassifierFile:
    readings = {
        name: Reading(
            ModalitySpec(reading["plugin"], reading["options"]),
            int(reading["image_size"]),
            tuple(reading["shape"]),
            str(reading["values"]),
        )
        for name, reading in facts["readings"].items()
    }
    labels = tuple(LabelSpec(name, tuple(c), reported) for name, c, reported in facts["labels"])
    linear = {"name": "linear", "options": {}, "members": 1, "ensemble": False}
    since = {"seen": False, "label": "", "dropped": False, "missing": Settings.missing}
    facts = {"classifier": linear, "decision": {}, **since, **facts}
    return ClassifierFile(
        path=path,
        data=tuple(facts["data"]),
        labels=labels,
        places=None if facts["places"] is None else tuple(facts["places"]),
        classifier=ClassifierSpec(facts["classifier"]["name"], facts["classifier"]["options"]),
        **{name: facts["classifier"][name] for name in ("members", "ensemble")},
        decision=Decision.of_facts(facts["decision"]),
        readings=readings,
        **{name: facts[name] for name in (*AS_IT_IS.split(), "dropped", "missing")},
    )


def _reading(subject: Subject, name: str) -> dict[str, Any]:
    spec = spec_of(subject.pool, name)
    chosen = subject.variant.options
    modality = subject.pool.modalities[name]
    case = next(
        case for cases in subject.pool.cases.values() for case in cases if name in case.images
    )
    image = subject.images.get(case.eval_images()[name], subject.pool.readers[case.source][name])
    return {
        "plugin": spec.plugin,
        "options": {**spec.options, **chosen.get(spec.plugin, {}), **chosen.get(name, {})},
        "image_size": modality.image_size,
        "shape": list(modality.shape),
        "values": str(modality.eval_view(image).dtype),
    }
