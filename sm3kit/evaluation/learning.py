"""Training with labels, and predictions of the chosen epoch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from sm3kit.core.errors import DataError
from sm3kit.data.cases import Case
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.evaluation.predicting import Answer, predictions_of, scores
from sm3kit.evaluation.selection import chooser, least_to_choose_by
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.summary import mean_auc
from sm3kit.runs.folder import RunFolder
from sm3kit.training.fitting import Training
from sm3kit.training.supervised import Supervised, learn


@dataclass(frozen=True)
class Lesson:
    """What is to be trained, and on what.

    Attributes:
        network: batch -> logits [(B, C)] * K.
        learning: the weights that learn.
        frozen: parts that stay in eval mode.
        batches: the order of the training studies.
        loader: gives the training batches.
        in_order: cases -> a function that gives their batches, under the evaluation view.
        scope: what learns, for the record.
        precision: as Lightning names it.
    """

    network: nn.Module
    learning: list[nn.Parameter]
    frozen: Sequence[nn.Module]
    batches: EpochBatches
    loader: Callable[[], Any]
    in_order: Callable[[Sequence[Case]], Callable[[], Any]]
    scope: str
    precision: str


def learn_labels(subject: Subject, settings: Settings, folder: Path, lesson: Lesson) -> Answer:
    """Trains, chooses an epoch, and predicts the measured split.

    Args:
        folder: for metrics and the checkpoint of this evaluation.

    Raises:
        DataError: fewer than two labelled studies to train on.
        VariantError: the split that chooses leaves every AUC undefined.
    """
    batches = lesson.batches
    if not len(batches):
        raise DataError(
            f"Training with labels needs at least two labelled studies in the split train, and "
            f"{', '.join(subject.variant.data)} has {batches.count}."
        )
    measured = subject.cases(settings.split, labelled=True)
    choosing = chooser(subject, settings, measured)
    least = None if choosing is None else least_to_choose_by(subject, settings, choosing)
    module = _module(subject, settings, lesson, choosing, least)
    lesson.network.train()
    for part in lesson.frozen:
        part.eval()
    training = _training(subject, settings, folder, lesson)
    epoch = learn(module, batches, training, lesson.loader)
    lesson.network.to(subject.device)
    probabilities = scores(lesson.network, lesson.in_order(measured)())
    shutil.rmtree(training.run.last.parent, ignore_errors=True)
    return Answer(
        predictions_of(subject, measured, probabilities, settings.min_positives),
        {"epoch": epoch},
        None if module.score is None else float(module.extra["best"]),
        least,
        module.extra["trainable"],
        batches.count,
        lesson.scope,
        lesson.network,
    )


def _module(
    subject: Subject,
    settings: Settings,
    lesson: Lesson,
    choosing: list[Case] | None,
    least: int | None,
) -> Supervised:
    """The training; it scores each epoch on the cases that choose, if there are any."""
    views = None if choosing is None else lesson.in_order(choosing)

    def score(network: nn.Module) -> float:
        assert choosing is not None and views is not None and least is not None
        return mean_auc(predictions_of(subject, choosing, scores(network, views()), least))

    return Supervised(
        lesson.network,
        lesson.learning,
        settings,
        subject.variant,
        [label.name for label in subject.pool.labels],
        len(lesson.batches),
        None if choosing is None else score,
    )


def _training(subject: Subject, settings: Settings, folder: Path, lesson: Lesson) -> Training:
    """The training of an evaluation; all that it depends on stands for its data."""
    variant = subject.variant
    return Training(
        RunFolder(folder),
        subject.reporter,
        f"{subject.trained.file_hash} {subject.pool.listing_hash()} {settings} "
        f"{len(lesson.batches)} {variant.map} {variant.options}",
        f"sm3kit evaluate {subject.run.folder} --protocol {settings.protocol}, with the same "
        "options",
        precision=lesson.precision,
    )
