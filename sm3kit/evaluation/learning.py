"""Training with labels, and predictions of the chosen epoch."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from sm3kit.classifiers.base import Streams
from sm3kit.core.errors import DataError
from sm3kit.data.cases import Case
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.evaluation.decisions.choosing import decide
from sm3kit.evaluation.predicting import Answer, predictions_of, scores, stream_logits
from sm3kit.evaluation.selection import chooser, least_to_choose_by
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.summary import mean_auc
from sm3kit.networks.assemble import build_plugin
from sm3kit.nn.processes import from_first, process_rank, share_weights
from sm3kit.runs.folder import RunFolder
from sm3kit.training.fitting import Training
from sm3kit.training.label_cost import LabelCost
from sm3kit.training.supervised import Supervised, learn


class InOrder(Protocol):
    """Cases in order, as the network takes them."""

    def __call__(self, cases: Sequence[Case], view: int = 0) -> Callable[[], Any]:
        """A function that gives their batches, under the evaluation view or a symmetry of it."""


@dataclass(frozen=True)
class Lesson:
    """What is to be trained, and on what.

    Attributes:
        network: batch -> logits {stream: [(B, C)] * K}; see `LabelledNetwork`.
        learning: the weights that learn.
        frozen: parts that stay in eval mode.
        batches: the order of the training studies.
        loader: gives the training batches.
        in_order: gives the batches of cases.
        scope: what learns, for the record.
        precision: as Lightning names it.
        divided: whether all processes learn, each from its share of every batch, not the first alone.
    """

    network: nn.Module
    learning: list[nn.Parameter]
    frozen: Sequence[nn.Module]
    batches: EpochBatches
    loader: Callable[[], Any]
    in_order: InOrder
    scope: str
    precision: str
    divided: bool


@dataclass(frozen=True)
class Learned:
    """A network that has learned labels.

    Attributes:
        network: at the chosen epoch.
        chosen: what was selected: {"epoch": 12}.
        score: mean AUC of the split that it was selected by, or None.
        trainable: number of weights that labels reached.
    """

    network: nn.Module
    chosen: dict[str, float]
    score: float | None
    trainable: int


def learn_labels(subject: Subject, settings: Settings, folder: Path, lesson: Lesson) -> Learned:
    """Trains, and goes back to the chosen epoch; all processes have the same network then.

    Args:
        folder: for metrics and the checkpoint, which stays there.

    Raises:
        VariantError: the split that chooses leaves every AUC undefined.
    """
    module = _module(subject, settings, lesson)
    lesson.network.train()
    for part in lesson.frozen:
        part.eval()
    training = _training(subject, settings, folder, lesson)
    epoch = 0
    if lesson.divided or process_rank() == 0:
        epoch = learn(module, lesson.batches, training, lesson.loader)
    share_weights(lesson.network.to(subject.device))
    epoch, best, trainable = from_first((epoch, module.extra["best"], module.extra["trainable"]))
    score = None if module.score is None else float(best)
    return Learned(lesson.network, {"epoch": epoch}, score, trainable)


def answer_with(
    subject: Subject,
    settings: Settings,
    learned: Learned,
    in_order: InOrder,
    scope: str,
    of_subsets: Callable[[Tensor], Learned],
) -> Answer:
    """The predictions of a trained network on the measured split.

    Args:
        in_order: gives the batches of cases.
        scope: what has learned.
        of_subsets: trains a network for each subset (n, N) bool of the training studies.
    """
    measured, _, least = splits(subject, settings)
    network = learned.network

    def logits(cases: Sequence[Case], own: nn.Module = network) -> list[Streams]:
        return [stream_logits(own, in_order(cases, n)()) for n in range(settings.test_views)]

    def unseen(cases: Sequence[Case], subsets: Tensor) -> tuple[nn.Module, list[Streams]]:
        return (folds := of_subsets(subsets).network), logits(cases, folds)

    predictions, decision, decided = decide(subject, settings, network, logits, measured, unseen)
    return Answer(
        predictions,
        learned.chosen,
        learned.score,
        least,
        learned.trainable,
        len(subject.cases("train", labelled=True)),
        scope,
        network,
        decision,
        decided,
    )


def splits(
    subject: Subject, settings: Settings
) -> tuple[list[Case], list[Case] | None, int | None]:
    """The cases that are measured, those that choose, and how many a class wants there to count.

    Raises:
        VariantError: the split that chooses leaves every AUC undefined.
    """
    measured = subject.measured(settings)
    choosing = chooser(subject, settings, measured)
    least = None if choosing is None else least_to_choose_by(subject, settings, choosing)
    return measured, choosing, least


def score_of(
    subject: Subject, settings: Settings, in_order: InOrder
) -> Callable[[nn.Module], float] | None:
    """What gives the mean AUC of a network on the cases that choose; None takes the last epoch."""
    _, choosing, least = splits(subject, settings)
    if choosing is None or least is None:
        return None
    views = in_order(choosing)
    return lambda network: mean_auc(
        predictions_of(subject, choosing, scores(network, views()), least)
    )


def check_labels(subject: Subject) -> None:
    """Refuses labels that nothing can be learned of.

    Raises:
        DataError: fewer than two labelled studies to train on, or a label of which all that are
            known have the same class.
    """
    table = subject.known_labels()
    if len(table) < 2:
        raise DataError(
            f"Training with labels needs at least two labelled studies in the split train, and "
            f"{', '.join(subject.variant.data)} has {len(table)}."
        )
    for label, known in zip(subject.pool.labels, table.T, strict=True):
        classes = known[known >= 0].unique()
        if len(classes) < 2:
            have = "none is known" if not len(classes) else f"all are {label.classes[classes[0]]}"
            raise DataError(
                f"The label {label.name} needs training studies of two classes to learn from, and "
                f"of its {int((known >= 0).sum())} in the split train {have}. Leave the label out of "
                "the data, or change the split."
            )


def _module(subject: Subject, settings: Settings, lesson: Lesson) -> Supervised:
    """The training; it scores each epoch on the cases that choose, if there are any."""
    module = Supervised(
        lesson.network,
        _cost(subject, settings),
        lesson.learning,
        settings,
        subject.variant,
        len(lesson.batches),
        score_of(subject, settings, lesson.in_order),
    )
    module.order = lesson.batches if lesson.divided else None
    # Frozen networks and heads without batch norms.
    module.alike = lesson.divided and settings.protocol == "probe"
    return module


def _cost(subject: Subject, settings: Settings) -> LabelCost:
    """The loss of the labels, with those of the split train."""
    loss = build_plugin("losses", settings.loss, settings.options)
    classes = {label.name: len(label.classes) for label in subject.pool.labels}
    return LabelCost(settings.loss, loss, classes, subject.known_labels())


def _training(subject: Subject, settings: Settings, folder: Path, lesson: Lesson) -> Training:
    """The training of an evaluation; all that it depends on stands for its data."""
    variant = subject.variant
    training = Training(
        RunFolder(folder),
        subject.reporter,
        f"{subject.trained.file_hash} {subject.pool.listing_hash()} {settings} "
        f"{len(lesson.batches)} {variant.map} {variant.options}",
        f"sm3kit evaluate {subject.run.folder} --protocol {settings.protocol}, with the same "
        "options",
        precision=lesson.precision,
    )
    together = subject.world if lesson.divided else None
    return dataclasses.replace(training, world=together) if together else training


def remove_checkpoints(folder: Path) -> None:
    """Deletes the checkpoints of an evaluation that is done, and of its members."""
    if process_rank():
        return
    for place in (folder, *folder.glob("member-*"), *folder.glob("folds*")):
        shutil.rmtree(RunFolder(place).last.parent, ignore_errors=True)
