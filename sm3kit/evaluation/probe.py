"""Probe: classifiers on frozen features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sm3kit.core.errors import VariantError
from sm3kit.data.batches import EVALUATION, StudyViews
from sm3kit.data.cases import Case
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.data.viewing import change_views
from sm3kit.evaluation.classifier import FromFeatures
from sm3kit.evaluation.learning import Lesson, learn_labels
from sm3kit.evaluation.predicting import Answer
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.networks.joint_batches import CachedJoint, EncodedJoint, JointSource


def probe(subject: Subject, settings: Settings, folder: Path) -> Answer:
    """Trains heads, or heads and the relation, on frozen features.

    Source: Wang et al. 2025, section 4.2, linear probing.
    Differs from the paper: each study has `feature_views` views, encoded once; 0 encodes new
    ones in every epoch, as the release does.

    Args:
        folder: for metrics and the checkpoint of this evaluation.
    """
    scope = probe_scope(subject, settings)
    classifier = subject.classifier(
        relation=subject.embedding is not None,
        prototypes=settings.prototypes,
        seed=settings.seed,
    )
    network = FromFeatures(classifier)
    learning = list(classifier.heads.parameters())
    frozen = []
    if classifier.embedding is not None and scope == "relation":
        learning += list(classifier.embedding.parameters())
        classifier.embedding.requires_grad_(True)
    elif classifier.embedding is not None:
        classifier.embedding.requires_grad_(False)
        frozen = [classifier.embedding]
    cases = subject.cases("train", labelled=True)
    source = _source(subject, settings, cases, augmented=True)
    batches = EpochBatches(len(cases), settings.batch_size, settings.seed)

    def in_order(cases: Sequence[Case]) -> Callable[[], Any]:
        held = _source(subject, settings, cases, augmented=False)
        return lambda: held.in_order(EVALUATION)

    lesson = Lesson(
        network,
        learning,
        frozen,
        batches,
        lambda: source.shuffled(batches),
        in_order,
        scope,
        "32-true",
    )
    return learn_labels(subject, settings, folder, lesson)


def probe_scope(subject: Subject, settings: Settings) -> str:
    """What a probe trains: "heads" or "relation".

    Raises:
        VariantError: a relation is asked for that the run does not have, or more than a probe.
    """
    if settings.scope == "auto":
        return "heads" if subject.embedding is None else "relation"
    if settings.scope == "relation" and subject.embedding is None:
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
    subject: Subject, settings: Settings, cases: Sequence[Case], *, augmented: bool
) -> JointSource:
    """Joint features of cases: random views for training, the evaluation view else."""
    views = subject.views_of(cases, settings.seed)
    encoder = subject.encoder
    if settings.feature_views == 0:
        pool = (
            change_views(subject.pool, subject.variant, settings.views)
            if augmented
            else subject.pool
        )
        views = StudyViews(pool, cases, subject.images, settings.seed)
        size = subject.variant.stage1.batch_size
        return EncodedJoint(views, subject.branches, encoder.precision, size, encoder.workers)
    with subject.reporter:
        features = (
            encoder.random_views(views, settings.feature_views, settings.views)
            if augmented
            else encoder.evaluation(views)
        )
    return CachedJoint(features, subject.branches, settings.seed)
