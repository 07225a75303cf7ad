"""Probabilities of the cases of a subject, as predictions that metrics take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sm3kit.classifiers.base import Streams
from sm3kit.data.cases import Case
from sm3kit.data.pool import case_id
from sm3kit.evaluation.decisions.decision import PLAIN, Decision
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.predictions import LabelScores, Predictions


@dataclass(frozen=True)
class Answer:
    """What a protocol found.

    Attributes:
        predictions: of the cases of the measured split.
        chosen: what was selected: {"epoch": 12} or {"k": 20}.
        score: mean AUC of the split that it was selected by, or None.
        least: studies that a class wanted in that split to count in the score, or None.
        trainable: number of weights that labels reached.
        trained_on: number of studies whose labels were used in training.
        scope: what learned.
        network: the network that made the predictions, or None.
        decision: how its logits became classes.
        decided: what was chosen of it, for the record; empty if nothing was.
    """

    predictions: Predictions
    chosen: dict[str, float]
    score: float | None
    least: int | None
    trainable: int
    trained_on: int
    scope: str
    network: nn.Module | None = None
    decision: Decision = PLAIN
    decided: dict[str, Any] = field(default_factory=dict)


def predictions_of(
    subject: Subject, cases: Sequence[Case], scores: Sequence[Tensor], min_positives: int
) -> Predictions:
    """The predictions of cases.

    Args:
        subject: for its labels.
        cases: N.
        scores: class probabilities [(N, C)] * K.
        min_positives: of the settings, or what a choice goes by.
    """
    labels = {}
    for number, (label, rows) in enumerate(zip(subject.pool.labels, scores, strict=True)):
        truth = np.array([case.labels[number] for case in cases])
        labels[label.name] = LabelScores(label.classes, label.reported, rows.numpy(), truth)
    ids = [case_id(subject.pool, case) for case in cases]
    groups = np.array([str(case.group) for case in cases])
    return Predictions(labels, np.array(ids), groups, min_positives)


def scores(network: Any, batches: Any) -> list[Tensor]:
    """Class probabilities [(N, C)] * K of batches in order, in float64; eval mode meanwhile.

    Args:
        network: batch -> logits {stream: [(B, C)] * K}; it also decides.
        batches: of what the network takes.
    """
    probabilities: list[Tensor] = network.decide(stream_logits(network, batches))
    return probabilities


@torch.no_grad()
def stream_logits(network: nn.Module, batches: Any) -> dict[str, list[Tensor]]:
    """Logits {stream: [(N, C)] * K} of batches in order, in float64 on the CPU; see `scores`."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        parts = [
            {name: [rows.double().cpu() for rows in logits] for name, logits in network(b).items()}
            for b in batches
        ]
    finally:
        for module, mode in modes.items():
            module.training = mode
    return concatenate(parts)


def concatenate(parts: Sequence[Streams]) -> Streams:
    """Logits {stream: [(N, C)] * K} of parts of the studies, one behind the other."""
    return {
        name: [torch.cat(rows) for rows in zip(*(part[name] for part in parts), strict=True)]
        for name in parts[0]
    }
