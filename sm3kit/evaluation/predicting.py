"""Probabilities of the cases of a subject, as predictions that metrics take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from sm3kit.engine.cases import Case
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.predictions import LabelScores, Predictions


def predictions_of(
    subject: Subject, cases: Sequence[Case], scores: Sequence[Tensor]
) -> Predictions:
    """The predictions of cases.

    Args:
        subject: for its labels.
        cases: N.
        scores: class probabilities [(N, C)] * K.
    """
    pooled = len(subject.pool.sources) > 1
    labels = {}
    for number, (label, rows) in enumerate(zip(subject.pool.labels, scores, strict=True)):
        truth = np.array([case.labels[number] for case in cases])
        labels[label.name] = LabelScores(label.classes, label.reported, rows.numpy(), truth)
    ids = [_id(subject, case) if pooled else case.study.id for case in cases]
    return Predictions(labels, np.array(ids), np.array([str(case.group) for case in cases]))


def _id(subject: Subject, case: Case) -> str:
    """Two data sets of a pool may use one id; the second manifest is manifest2, as for labels."""
    names = [source.spec.partition(":")[0] for source in subject.pool.sources]
    before = names[: case.source].count(names[case.source])
    return f"{names[case.source]}{before + 1 if before else ''}/{case.study.id}"
