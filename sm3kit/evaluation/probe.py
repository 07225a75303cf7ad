"""Probe: classifiers on frozen features."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sm3kit.classifiers.base import JOINT, Classifier, LabelledFeatures
from sm3kit.core.errors import VariantError
from sm3kit.data.batches import EVALUATION, StudyViews
from sm3kit.data.cases import Case
from sm3kit.data.viewing import change_views
from sm3kit.evaluation.labelling.classifier import ClassifierSpec
from sm3kit.evaluation.labelling.ensemble import Ensemble, balanced_subsets
from sm3kit.evaluation.labelling.label_network import FromFeatures
from sm3kit.evaluation.labelling.order import order_of_training
from sm3kit.evaluation.learning import (
    InOrder,
    Learned,
    Lesson,
    answer_with,
    check_labels,
    learn_labels,
    remove_checkpoints,
    score_of,
    splits,
)
from sm3kit.evaluation.missing.fitting import filling_for
from sm3kit.evaluation.predicting import Answer
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.networks.joint_batches import CachedJoint, EncodedJoint, JointBatch, JointSource
from sm3kit.nn.processes import process_count


def probe(subject: Subject, settings: Settings, folder: Path) -> Answer:
    """Trains or fits a classifier, or one and the relation, on frozen features.

    Source: Wang et al. 2025, section 4.2, linear probing.
    Differs from the paper: each study has `feature_views` views, encoded once; 0 encodes new
    ones in every epoch, as the release does. What is fitted at once sees the evaluation view.

    Args:
        folder: for metrics and the checkpoint of this evaluation.
    """
    component = ClassifierSpec.of(settings.classifier, settings.options).component
    relation = component.wants_embedding and subject.embedding is not None
    scope = probe_scope(subject, settings, relation=relation)
    check_labels(subject)
    filling = filling_for(subject, settings) if component.on == "joint" else None

    def in_order(cases: Sequence[Case], view: int = 0) -> Callable[[], Any]:
        held = _source(subject, settings, cases, augmented=False, view=view)
        return lambda: held.in_order(EVALUATION - view)

    def learn(folder: Path, members: int, folds: Tensor | None = None) -> Learned:
        subsets = folds
        if folds is None and settings.subsets == "balanced":
            subsets = balanced_subsets(subject.known_labels(), members, settings.seed)
        classifiers = [
            subject.classifier(
                relation=relation,
                prototypes=settings.prototypes,
                seed=settings.seed + number,
                spec=ClassifierSpec.of(settings.classifier, settings.options),
                among=None if subsets is None else subsets[number],
            )
            for number in range(members)
        ]
        networks = [
            FromFeatures(own, filling and filling.for_member(), subject.branches.joint)
            for own in classifiers
        ]
        network = _network(networks, subsets)
        if component.learns == "fit":
            return fit(subject, settings, network, networks, in_order)
        lesson = _lesson(subject, settings, network, classifiers, scope, in_order)
        return learn_labels(subject, settings, folder, lesson)

    learned = learn(folder, settings.members)
    answer = answer_with(
        subject,
        settings,
        learned,
        in_order,
        scope,
        lambda subsets: learn(folder / "folds", len(subsets), subsets),
    )
    remove_checkpoints(folder)
    return answer


def _lesson(
    subject: Subject,
    settings: Settings,
    network: FromFeatures | Ensemble,
    classifiers: Sequence[Classifier],
    scope: str,
    in_order: InOrder,
) -> Lesson:
    """What learns from the features of random views; members learn side by side."""
    frozen: list[nn.Module] = []
    for classifier in classifiers:
        embedding = getattr(classifier, "embedding", None)
        if embedding is not None:
            embedding.requires_grad_(scope == "relation")
            frozen += [] if scope == "relation" else [embedding]
    source = _source(subject, settings, subject.cases("train", labelled=True), augmented=True)
    # On features that are there already, a step is a few matrix products.
    norms = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in network.modules())
    divided = process_count() > 1 and settings.feature_views == 0 and not norms
    batches = order_of_training(subject, settings, divided=divided)
    return Lesson(
        network,
        [weight for weight in network.parameters() if weight.requires_grad],
        frozen,
        batches,
        lambda: source.shuffled(batches),
        in_order,
        scope,
        "32-true",
        divided,
    )


def _network(networks: Sequence[FromFeatures], subsets: Tensor | None) -> FromFeatures | Ensemble:
    """The networks of the members as one.

    Args:
        subsets: (members, N) bool, which training studies each learns from; None for all.
    """
    if subsets is None and len(networks) == 1:
        return networks[0]
    return Ensemble(networks, subsets)


def fit(
    subject: Subject,
    settings: Settings,
    network: FromFeatures | Ensemble,
    members: Sequence[FromFeatures],
    in_order: InOrder,
) -> Learned:
    """Classifiers that are fitted at once to the evaluation view of the training studies."""
    _, choosing, _ = splits(subject, settings)
    train = _collect(in_order(subject.cases("train", labelled=True)), members[0])
    chooses = None if choosing is None else _collect(in_order(choosing), members[0])
    chosen: dict[str, float] = {}
    for number, member in enumerate(members):
        own = train
        if isinstance(network, Ensemble) and network.subsets is not None:
            outside = ~network.subsets[number].unsqueeze(1)
            own = dataclasses.replace(train, labels=train.labels.masked_fill(outside, -1))
        whose = f"member {number + 1} " if len(members) > 1 else ""
        fitted = member.classifier.fit(own, chooses)
        chosen |= {f"{whose}{name}": value for name, value in fitted.items()}
    network.to(subject.device)
    score = score_of(subject, settings, in_order)
    trainable = sum(weight.numel() for weight in network.parameters())
    return Learned(network, chosen, None if score is None else score(network), trainable)


@torch.no_grad()
def _collect(batches: Callable[[], Iterable[JointBatch]], member: FromFeatures) -> LabelledFeatures:
    """All studies of batches, as the classifier of a member sees them, on the CPU."""
    member.eval()
    if member.classifier.on == "joint":
        pairs = [(member.joint(batch).cpu(), batch.labels.cpu()) for batch in batches()]
        joint, labels = (torch.cat(tables) for tables in zip(*pairs, strict=True))
        return LabelledFeatures(
            {JOINT: joint}, {JOINT: torch.ones(len(joint), dtype=torch.bool)}, labels
        )
    whole = [batch.to("cpu") for batch in batches()]
    labels = torch.cat([batch.labels for batch in whole])
    names = list(whole[0].features)
    return LabelledFeatures(
        {name: torch.cat([batch.features[name] for batch in whole]) for name in names},
        {name: torch.cat([batch.present[name] for batch in whole]) for name in names},
        labels,
    )


def probe_scope(subject: Subject, settings: Settings, *, relation: bool) -> str:
    """What a probe trains: "heads" or "relation".

    Args:
        relation: whether the classifier stands on label embeddings of stage 2.

    Raises:
        VariantError: a relation is asked for that the run does not have, or more than a probe.
    """
    if settings.scope == "auto":
        return "relation" if relation else "heads"
    if settings.scope == "relation" and subject.embedding is not None and not relation:
        raise VariantError(
            f"--scope relation needs a classifier on label embeddings, and --classifier "
            f"{settings.classifier} is not. Use --classifier linear, or --scope heads."
        )
    if settings.scope == "relation" and not relation:
        raise VariantError(
            f"--scope relation needs a run that finished stage 2 for these labels, and "
            f"{subject.run.folder} did not. Use --scope heads."
        )
    if settings.scope not in ("heads", "relation"):
        raise VariantError(
            f"--protocol probe needs --scope heads or relation, not {settings.scope}. "
            "To train the networks, use --protocol finetune."
        )
    return settings.scope


def _source(
    subject: Subject, settings: Settings, cases: Sequence[Case], *, augmented: bool, view: int = 0
) -> JointSource:
    """Joint features of cases: random views for training, else the evaluation view or a symmetry."""
    views = subject.views_of(cases, settings.seed)
    encoder = subject.encoder
    if settings.feature_views == 0 and augmented:
        pool = change_views(subject.pool, subject.variant, settings.views)
        views = StudyViews(pool, cases, subject.images, settings.seed)
        size = subject.variant.stage1.batch_size
        return EncodedJoint(views, subject.branches, encoder.precision, size, encoder.workers)
    with subject.reporter:
        features = (
            encoder.random_views(views, settings.feature_views, settings.views)
            if augmented
            else encoder.evaluation(views, view)
        )
    return CachedJoint(features, subject.branches, settings.seed)
