"""Training with labels, and predictions of the chosen epoch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sm3kit.core.errors import CheckpointError, DataError
from sm3kit.data.cases import Case
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.evaluation.answer import Answer
from sm3kit.evaluation.predicting import predictions_of, scores
from sm3kit.evaluation.selection import chooser, least_to_choose_by
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.evaluation.supervised import Supervised
from sm3kit.metrics.summary import mean_auc
from sm3kit.runs.run import Run
from sm3kit.training import checkpoints
from sm3kit.training.fitting import Machine, fit
from sm3kit.training.job import Job


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


def learned(subject: Subject, settings: Settings, folder: Path, lesson: Lesson) -> Answer:
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
            f"Training with labels wants two labelled studies in the split train at least, and "
            f"{', '.join(subject.variant.data)} has {batches.count}."
        )
    measured = subject.cases(settings.split, labelled=True)
    choosing = chooser(subject, settings, measured)
    least = None if choosing is None else least_to_choose_by(subject, settings, choosing)
    module = _module(subject, settings, lesson, choosing, least)
    lesson.network.train()
    for part in lesson.frozen:
        part.eval()
    job = _job(subject, settings, folder, len(batches))
    _resume(module, batches, job)
    machine = Machine(precision=lesson.precision)
    fit(module, job, lambda rank, world: lesson.loader(), lambda m: m.look(), machine)
    epoch = module.select()
    lesson.network.to(subject.device)
    found: list[Tensor] = scores(lesson.network, lesson.in_order(measured)())
    shutil.rmtree(job.run.last.parent, ignore_errors=True)
    return Answer(
        predictions_of(subject, measured, found, settings.min_positives),
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


def _job(subject: Subject, settings: Settings, folder: Path, steps: int) -> Job:
    return Job(
        Run(folder),
        subject.variant,
        subject.pool,
        [],
        subject.images,
        subject.encoder.cache,
        subject.reporter,
        f"{subject.trained.file_hash} {subject.pool.listing_hash()} {settings} {steps} "
        f"{subject.variant.map} {subject.variant.options}",
        subject.encoder.workers,
        f"sm3kit evaluate {subject.trained.folder} --protocol {settings.protocol}, with the same "
        "options",
    )


def _resume(module: Supervised, batches: EpochBatches, job: Job) -> None:
    """Goes on with an evaluation that was stopped, if it is the same one."""
    if not job.run.last.is_file():
        return
    try:
        kept = checkpoints.read_checkpoint(job.run.last)
    except CheckpointError:
        return  # It only saves time.
    if kept["data_hash"] != job.data_hash:
        return
    checkpoints.load_weights(module, kept["model"], job.run.last)
    module.first_epoch = batches.first_epoch = batches.epoch = kept["epochs_done"]
    module.optimiser_state = kept["optimiser"]
    module.extra = {name: kept[name] for name in module.extra}
    job.reporter.say(f"resume   after epoch {module.first_epoch} of {module.epochs}")
