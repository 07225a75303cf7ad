"""Fine-tuning: the networks learn from labels, too."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sm3kit.backbones.base import Backbone
from sm3kit.core.errors import VariantError
from sm3kit.data.batches import EVALUATION, StudyViews, eval_loader, train_loader
from sm3kit.data.cases import Case
from sm3kit.data.viewing import change_views
from sm3kit.evaluation.labelling.classifier import ClassifierSpec
from sm3kit.evaluation.labelling.ensemble import Ensemble, balanced_subsets
from sm3kit.evaluation.labelling.label_network import FromImages
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
)
from sm3kit.evaluation.missing.fitting import (
    FITTED,
    cases_to_fit,
    check_count,
    fit_filling,
    unfitted,
)
from sm3kit.evaluation.predicting import Answer
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.nn.processes import process_count


def finetune(subject: Subject, settings: Settings, folder: Path) -> Answer:
    """Trains the networks, the relation if there is one, and the classifier.

    Source: Wang et al. 2025, section 4.2, fine-tuning; the release leaves the stem frozen, which
    is scope "layers". With several members, each is trained separately, with its own seed.

    Args:
        folder: for metrics and the checkpoints of this evaluation.
    """
    scope = "all" if settings.scope == "auto" else settings.scope
    if scope not in ("all", "layers"):
        raise VariantError(f"--protocol finetune needs --scope all or layers, not {scope}.")
    check_labels(subject)
    check_count(settings, subject.branches.widths)
    in_order = _in_order(subject, settings)
    if settings.members == 1 and settings.subsets == "seeds":
        lesson = _lesson(subject, settings, scope, in_order)
        learned = learn_labels(subject, settings, folder, lesson)
        if settings.missing in FITTED:
            _fill_in(subject, settings, learned.network, in_order)
            score = _score(subject, settings, in_order, learned.network)
            learned = dataclasses.replace(learned, score=score)
    else:
        learned = _ensemble(subject, settings, folder, scope, in_order)
    answer = answer_with(
        subject,
        settings,
        learned,
        in_order,
        scope,
        lambda subsets: _ensemble(subject, settings, folder, scope, in_order, subsets),
    )
    remove_checkpoints(folder)
    return answer


def _ensemble(
    subject: Subject,
    settings: Settings,
    folder: Path,
    scope: str,
    in_order: InOrder,
    folds: Tensor | None = None,
) -> Learned:
    """Members that were trained one after the other.

    Args:
        folds: (n, N) bool, which training studies each learns from; None asks the settings.
    """
    members: list[Learned] = []
    subsets: Sequence[Any] = [None] * settings.members
    if folds is not None:
        subsets = list(folds)
    elif settings.subsets == "balanced":
        subsets = list(balanced_subsets(subject.known_labels(), settings.members, settings.seed))
    word = "member" if folds is None else "folds"
    for number, subset in enumerate(subsets, 1):
        own = dataclasses.replace(settings, seed=settings.seed + number - 1)
        lesson = _lesson(subject, own, scope, in_order, subset)
        subject.reporter.say(f"{word:8} {number} of {len(subsets)}")
        members.append(learn_labels(subject, own, folder / f"{word}-{number}", lesson))
    networks = [
        # What stood around it was for its subset.
        member.network.members[0] if isinstance(member.network, Ensemble) else member.network
        for member in members
    ]
    if settings.missing in FITTED:
        for network in networks:
            _fill_in(subject, settings, network, in_order)
    network = Ensemble(networks)  # type: ignore[arg-type]
    return Learned(
        network,
        {f"member {n} epoch": member.chosen["epoch"] for n, member in enumerate(members, 1)},
        # Nobody asks how well the networks of folds do on the split that chooses.
        _score(subject, settings, in_order, network) if folds is None else None,
        sum(member.trainable for member in members),
    )


def _lesson(
    subject: Subject, settings: Settings, scope: str, in_order: InOrder, subset: Any = None
) -> Lesson:
    """One network, and the studies that it learns from; see `finetune`."""
    network = _network(subject, settings, scope, subset)
    names, workers = list(subject.branches.widths), subject.encoder.workers
    views = StudyViews(
        change_views(subject.pool, subject.variant, settings.views),
        subject.cases("train", labelled=True),
        subject.images,
        settings.seed,
    )
    divided = process_count() > 1
    batches = order_of_training(subject, settings, divided=divided)
    return Lesson(
        network if subset is None else Ensemble([network], subset.unsqueeze(0)),
        [weight for weight in network.parameters() if weight.requires_grad],
        [],
        batches,
        lambda: train_loader(views, batches, names, workers),
        in_order,
        scope,
        subject.encoder.precision,
        divided,
    )


def _in_order(subject: Subject, settings: Settings) -> InOrder:
    """Batches of the evaluation view of cases."""
    names, workers = list(subject.branches.widths), subject.encoder.workers

    def in_order(cases: Sequence[Case], view: int = 0) -> Callable[[], Any]:
        in_turn, epoch = subject.views_of(cases, settings.seed), EVALUATION - view
        return lambda: (
            batch.to(subject.device)
            for batch in eval_loader(
                in_turn, subject.variant.stage1.batch_size, names, workers, epoch
            )
        )

    return in_order


def _network(subject: Subject, settings: Settings, scope: str, subset: Tensor | None) -> FromImages:
    """Networks and classifier, of which all learns, or all but the stems; what is frozen stays."""
    branches = copy.deepcopy(subject.branches).requires_grad_(True)
    classifier = subject.classifier(
        relation=subject.embedding is not None,
        prototypes=settings.prototypes,
        seed=settings.seed,
        spec=ClassifierSpec.of(settings.classifier, settings.options),
        among=subset,
    )
    classifier.requires_grad_(True)
    for backbone in branches.backbones.values():
        assert isinstance(backbone, Backbone)
        for weight in [*backbone.frozen(), *(backbone.stem() if scope == "layers" else [])]:
            weight.requires_grad_(False)
    filling = unfitted(settings, branches.widths) if classifier.on == "joint" else None
    return FromImages(branches, classifier, filling).to(subject.device)


def _score(
    subject: Subject, settings: Settings, in_order: InOrder, network: nn.Module
) -> float | None:
    """The mean AUC of a network, as it is kept, on the cases that choose; None where none do."""
    score = score_of(subject, settings, in_order)
    return None if score is None else score(network)


def _fill_in(subject: Subject, settings: Settings, network: Any, in_order: InOrder) -> None:
    """Fits what stands in for absent modalities to the features that a training has left.

    While they learn, networks leave absent modalities to the fusion, or to tokens.
    """
    assert isinstance(network, FromImages)
    cases = cases_to_fit(subject, settings)
    train = network.extractor.embed_batches(in_order(cases)())
    groups = torch.tensor([case.group for case in cases])
    widths = network.extractor.widths
    filling = fit_filling(settings, widths, train.features, train.present, groups)
    network.filling = filling.to(subject.device).train(network.training)
