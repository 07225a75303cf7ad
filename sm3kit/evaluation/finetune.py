"""Fine-tuning: the networks learn from labels, too."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sm3kit.core.errors import VariantError
from sm3kit.data.batches import StudyViews, eval_loader, train_loader
from sm3kit.data.cases import Case
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.data.viewing import change_views
from sm3kit.evaluation.classifier import FromImages
from sm3kit.evaluation.learning import Lesson, learn_labels
from sm3kit.evaluation.predicting import Answer
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject


def finetune(subject: Subject, settings: Settings, folder: Path) -> Answer:
    """Trains the networks, the relation if there is one, and the heads.

    Source: Wang et al. 2025, section 4.2, fine-tuning; the release leaves the stem frozen, which
    is scope "layers".

    Args:
        folder: for metrics and the checkpoint of this evaluation.
    """
    scope = "all" if settings.scope == "auto" else settings.scope
    if scope not in ("all", "layers"):
        raise VariantError(f"--protocol finetune needs --scope all or layers, not {scope}.")
    network = _network(subject, settings, scope)
    cases = subject.cases("train", labelled=True)
    names = list(subject.branches.widths)
    views = StudyViews(
        change_views(subject.pool, subject.variant, settings.views),
        cases,
        subject.images,
        settings.seed,
    )
    batches = EpochBatches(len(cases), settings.batch_size, settings.seed)
    workers = subject.encoder.workers

    def in_order(cases: Sequence[Case]) -> Callable[[], Any]:
        in_turn = subject.views_of(cases, settings.seed)
        return lambda: (
            batch.to(subject.device)
            for batch in eval_loader(in_turn, subject.variant.stage1.batch_size, names, workers)
        )

    lesson = Lesson(
        network,
        [weight for weight in network.parameters() if weight.requires_grad],
        [],
        batches,
        lambda: train_loader(views, batches, names, workers),
        in_order,
        scope,
        subject.encoder.precision,
    )
    return learn_labels(subject, settings, folder, lesson)


def _network(subject: Subject, settings: Settings, scope: str) -> FromImages:
    """Networks and classifier, of which all learns, or all but the stems."""
    classifier = subject.classifier(
        relation=subject.embedding is not None,
        prototypes=settings.prototypes,
        seed=settings.seed,
    )
    branches = copy.deepcopy(subject.branches).requires_grad_(True)
    classifier.requires_grad_(True)
    if scope == "layers":
        for backbone in branches.backbones.values():
            for weight in backbone.stem():  # type: ignore[operator]
                weight.requires_grad_(False)
    return FromImages(branches, classifier)
