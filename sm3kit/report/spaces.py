"""Spaces that cases are shown in, for the networks of a run and for the same before training."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import torch
from torch import Tensor

from sm3kit.core.errors import CheckpointError, SM3Error
from sm3kit.data.cases import Case
from sm3kit.evaluation.choices import check_choices
from sm3kit.evaluation.classifier_file import read_classifier
from sm3kit.evaluation.labelling.ensemble import Ensemble
from sm3kit.evaluation.labelling.kept import open_network
from sm3kit.evaluation.labelling.label_embedding import LabelEmbedding
from sm3kit.evaluation.labelling.label_network import LabelNetwork
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.networks.assemble import build_relation, build_stage1
from sm3kit.networks.extraction import Encoder
from sm3kit.networks.joint_batches import JointBatch
from sm3kit.nn.finite import check_features
from sm3kit.nn.unit_length import unit_length
from sm3kit.runs.folder import RunFolder
from sm3kit.training.seeds import seed_for

Space = Literal["embedding", "logits", "backbone"]
Tables = dict[str, npt.NDArray[Any]]

TITLES = {
    "backbone": "joint feature of the backbones",
    "embedding": "label embedding of stage 2",
    "logits": "logits of a probe",
}


@torch.no_grad()
def tables(
    subject: Subject,
    cases: Sequence[Case],
    space: Space,
    probe: LabelNetwork | Ensemble | None = None,
) -> Tables:
    """{label: (N, D)} of cases in a space; unit vectors but for logits.

    Args:
        probe: for logits.

    Raises:
        CheckpointError: the run has nothing that gives this space.
        TrainingError: what is found in it is not finite.
    """
    names = [label.name for label in subject.pool.labels]
    joint = subject.joint(cases)
    if space == "backbone":
        return dict.fromkeys(names, unit_length(joint).numpy())
    if (probe if space == "logits" else subject.embedding) is None:
        wanted = "a run with stage 2 for these labels" if space == "embedding" else "a probe"
        raise CheckpointError(
            f"The space {space} needs {wanted}, and {subject.run.folder} has none. Use "
            "--space backbone."
        )
    if probe is not None and space == "logits":
        batch = batch_of(subject, cases, joint).to(subject.device)
        network = probe.to(subject.device).eval()
        rows: Sequence[Tensor] = network.weigh(network(batch))
    else:
        assert subject.embedding is not None
        embeddings = subject.embedding.to(subject.device).eval()(joint.to(subject.device))
        rows = unit_length(embeddings).unbind(1)
    found = {name: rows_of.cpu().contiguous() for name, rows_of in zip(names, rows, strict=True)}
    check_features(found, f"in the space {space}")
    return {name: one.numpy() for name, one in found.items()}


@torch.no_grad()
def attention_of(embedding: LabelEmbedding, joint: Tensor) -> npt.NDArray[Any] | None:
    """Attention (N, heads, K, K) of cases, K in the order of the data; None without attention.

    Rows are the query labels, columns those that are attended to.

    Source: Wang et al. 2025, figure 7.

    Args:
        embedding: the relation, after stage 2 or after a probe.
        joint: (N, J).
    """
    device = next(embedding.parameters()).device
    attention = embedding.eval().relation.attention(joint.to(device))
    if attention is None:
        return None
    order = embedding.order
    weights: npt.NDArray[Any] = attention[:, :, order][:, :, :, order].cpu().numpy()
    return weights


def before_training(subject: Subject) -> Subject:
    """The same studies under the same networks at the weights that their training began with.

    These follow from the seed and --weights, or from the run that --init named.

    Raises:
        SM3Error: the initial weights, or a modality that they were drawn for, are not there.
    """
    trained = subject.trained
    variant, modalities = trained.variant, subject.pool.modalities
    missing = [name for name in trained.channels if name not in modalities]
    if missing:
        raise CheckpointError(
            f"The initial weights depend on all modalities, and the data have no "
            f"{', '.join(missing)}."
        )
    # As stage 1 begins: weights depend on the seed and on the order of the modalities.
    torch.manual_seed(seed_for("networks", variant.seed))
    branches = build_stage1(variant, {name: modalities[name] for name in trained.channels}).branches
    if variant.init:
        RunFolder(Path(variant.init)).trained().start(branches, variant)
    embedding = None
    if subject.embedding is not None:
        torch.manual_seed(seed_for("relation", variant.seed))
        relation = build_relation(variant, branches.joint_width, len(trained.facts.labels))
        embedding = LabelEmbedding(relation, subject.embedding.order).to(subject.device).eval()
    branches.to(subject.device).requires_grad_(False).eval()
    kept = subject.encoder
    encoder = Encoder(
        branches, subject.variant, kept.cache, subject.reporter, kept.precision, kept.workers
    )
    return dataclasses.replace(
        subject,
        encoder=encoder,
        embedding=embedding,
        prototypes=[None] * len(subject.pool.labels),
    )


def batch_of(subject: Subject, cases: Sequence[Case], joint: Tensor) -> JointBatch:
    """The evaluation views of cases as one batch of features."""
    features = subject.features(cases)
    count = len(cases)
    labels = torch.full((count, len(subject.pool.labels)), -1)
    return JointBatch(joint, labels, torch.arange(count), features.whole(), features.present)


def kept_probe(subject: Subject, record: Mapping[str, Any], file: Path) -> LabelNetwork | Ensemble:
    """The classifier that a probe of this run left.

    Args:
        record: of the probe.
        file: its weights, beside the record.

    Raises:
        CheckpointError: they are missing, of another model, or not finite.
    """
    if record["of"]["model"] != subject.trained.file_hash:
        raise CheckpointError(f"{file} was trained on other networks than the run has now.")
    return open_network(subject.trained, read_classifier(file), subject.branches).eval()


def train_probe(subject: Subject, settings: Settings) -> LabelNetwork | Ensemble:
    """A classifier trained anew on a subject, as a probe would; nothing is kept."""
    # It trains, and Lightning takes longer to import than a page without it to write.
    from sm3kit.evaluation.probe import probe

    check_choices(settings)
    with tempfile.TemporaryDirectory() as folder:
        answer = probe(subject, settings, Path(folder))
    assert isinstance(answer.network, LabelNetwork | Ensemble)
    return answer.network.eval()


def settings_from(record: Mapping[str, Any]) -> Settings:
    """The settings that a result was made with.

    Raises:
        SM3Error: they are of another version of sm3kit.
    """
    try:
        return Settings(**record["settings"])
    except TypeError as error:
        raise SM3Error(
            f"The settings of {record['file']} are of another version: {error}"
        ) from error
