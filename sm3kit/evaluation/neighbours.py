"""kNN: the labels of the nearest training studies vote."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sm3kit.data.cases import Case
from sm3kit.evaluation.decisions.choosing import decide_after
from sm3kit.evaluation.decisions.decision import PLAIN
from sm3kit.evaluation.missing.fitting import filling_for
from sm3kit.evaluation.predicting import Answer, predictions_of
from sm3kit.evaluation.selection import chooser, least_to_choose_by
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.summary import mean_auc
from sm3kit.nn.neighbours import votes
from sm3kit.nn.unit_length import unit_length

CANDIDATES = (1, 3, 5, 10, 20, 50, 100, 200)


def knn(subject: Subject, settings: Settings) -> Answer:
    """Votes among the k nearest labelled training studies by cosine similarity.

    Source: Wu et al. 2018, arXiv:1805.01978, section 3.4: votes weigh exp(s / t). Not in the
    paper. One search serves all labels; a neighbour whose label is unknown does not vote on it,
    nor does one of the same patient or lesion.
    """
    bank_cases = subject.cases("train", labelled=True)
    filling = filling_for(subject, settings)
    bank = unit_length(subject.joint(bank_cases, filling))
    truth = torch.tensor([case.labels for case in bank_cases])
    classes = [len(label.classes) for label in subject.pool.labels]
    measured = subject.measured(settings)
    chosen_by = chooser(subject, settings, measured)

    groups = torch.tensor([case.group for case in bank_cases])

    def answers(cases: Sequence[Case], neighbours: Sequence[int]) -> list[list[Tensor]]:
        own = torch.tensor([case.group for case in cases])
        joint = unit_length(subject.joint(cases, filling))
        return votes(joint, bank, truth, classes, neighbours, settings.temperature, (own, groups))

    k = min(settings.k, len(bank) - (settings.split == "train"))
    if k < settings.k and chosen_by is None:
        subject.reporter.say(f"k        {k}: there are no more training studies")
    score, least = None, None
    if chosen_by is not None:
        candidates = [k for k in CANDIDATES if k < len(bank)] or [1]
        tried = answers(chosen_by, candidates)
        least = least_to_choose_by(subject, settings, chosen_by)
        aucs = [mean_auc(predictions_of(subject, chosen_by, rows, least)) for rows in tried]
        score, k = max(zip(aucs, candidates, strict=True), key=lambda pair: (pair[0], -pair[1]))
    predictions, decision, decided = decide_after(
        subject, settings, PLAIN, lambda cases: answers(cases, [k])[0], measured
    )
    count = len(bank_cases)
    return Answer(
        predictions, {"k": k}, score, least, 0, count, "none", decision=decision, decided=decided
    )
