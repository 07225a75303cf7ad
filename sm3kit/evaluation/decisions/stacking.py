"""The second stage is fitted to what networks say of training studies that they have not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sm3kit.classifiers.base import Streams
from sm3kit.core.errors import DataError
from sm3kit.data.batches import eval_loader
from sm3kit.data.cases import Case
from sm3kit.evaluation.decisions.decision import Decision
from sm3kit.evaluation.decisions.stack import (
    Stack,
    metadata_names,
    metadata_rows,
    stacked_rows,
)
from sm3kit.evaluation.decisions.stream_weights import Goal, search_weights
from sm3kit.evaluation.decisions.support_vectors import fit_support_vectors
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.folds import group_folds

FOLDS = 5
Unseen = Callable[[Sequence[Case], Tensor], tuple[Any, list[Streams]]]


def fit_stack(subject: Subject, settings: Settings, decision: Decision, unseen: Unseen) -> Stack:
    """Machines for all labels, with a weight of a half.

    Source: Tang et al. 2022, FusionM4Net, second stage.
    Differs from the release: it trains a second network on the first 206 training studies and fits the
    machines to the other 207. Here five networks of one seed each leave out a fold of whole
    patients or lesions, and the machines are fitted to all studies. With fine-tuning the images of
    a fold, without their labels, still stand in the batches of the network that leaves it out.

    Args:
        decision: what was decided before; the networks of the folds follow it.
        unseen: training cases, and which of them each network learns from, (folds, N) bool -> an
            ensemble of these networks and its logits of all cases for each test view.
    """
    cases, groups, fold = stack_folds(subject, settings)
    numbers = np.unique(fold)
    subsets = torch.from_numpy(np.stack([fold != number for number in numbers]))
    subject.reporter.say(
        f"stack    {len(numbers)} further networks, each without a fold of the patients or lesions"
    )
    ensemble, views = unseen(cases, subsets)
    decision.weigh(ensemble)
    probabilities = _left_out(ensemble, views, torch.from_numpy(fold))
    rows = stacked_rows(probabilities, metadata_of(subject, cases)).numpy()
    machines = {}
    for number, truth in enumerate(np.array([case.labels for case in cases]).T):
        machine = fit_support_vectors(rows, truth, groups, seed=settings.seed)
        if machine is not None:
            machines[number] = machine
    return Stack(0.5, metadata_names(subject.pool.modalities), machines)


def stack_folds(
    subject: Subject, settings: Settings
) -> tuple[list[Case], npt.NDArray[np.str_], npt.NDArray[np.int64]]:
    """The training studies, the group (N,) and the fold (N,) of each.

    Raises:
        DataError: all are of one patient or lesion.
    """
    cases = subject.cases("train", labelled=True)
    groups = np.array([str(case.group) for case in cases])
    if len(set(groups)) < 2:
        raise DataError(
            f"--stack svm leaves patients or lesions out in turn, and all {len(cases)} labelled "
            f"studies in the split train of {', '.join(subject.variant.data)} are of one. Leave out "
            "--stack, or give the data more groups."
        )
    return cases, groups, group_folds(groups, np.zeros(len(cases), np.int64), FOLDS, settings.seed)


def weigh_stack(
    subject: Subject,
    settings: Settings,
    stack: Stack,
    probabilities: Sequence[Tensor],
    cases: Sequence[Case],
    least: int,
) -> tuple[Stack, dict[str, Any]]:
    """The weight of the second stage that is best on the cases that choose, and the record of it.

    Args:
        probabilities: [(N, C)] * K of the networks, of these cases.
    """
    metadata = metadata_of(subject, cases)
    machines = replace(stack, weight=1.0).mix(probabilities, metadata)

    def decide(weights: Mapping[str, float]) -> list[Tensor]:
        return [
            weights["networks"] * first + weights["machines"] * second
            for first, second in zip(probabilities, machines, strict=True)
        ]

    goal: Goal = "auc" if settings.stream_weights == "auc" else "accuracy"
    truth = np.array([case.labels for case in cases])
    best = search_weights(decide, ("networks", "machines"), subject.pool.labels, truth, goal, least)
    stack = replace(stack, weight=best.weights["machines"])
    return stack, {"stack": {**stack.facts(), "goal": goal, "score": best.score}}


def metadata_of(subject: Subject, cases: Sequence[Case]) -> Tensor:
    """The metadata (N, M) of cases."""
    modalities, names = subject.pool.modalities, metadata_names(subject.pool.modalities)
    loader = eval_loader(subject.views_of(cases, 0), subject.variant.stage1.batch_size, names)
    return torch.cat([metadata_rows(batch, modalities, names) for batch in loader])


def _left_out(ensemble: Any, views: Sequence[Streams], fold: Tensor) -> list[Tensor]:
    """Class probabilities [(N, C)] * K, each study by the network that left its fold out."""
    by_view = [
        [member.decide(own) for member, own in ensemble.of_members(streams)] for streams in views
    ]
    labels, every = range(len(by_view[0][0])), torch.arange(len(fold))
    return [
        torch.stack(
            [torch.stack([rows[label] for rows in networks])[fold, every] for networks in by_view]
        ).mean(dim=0)
        for label in labels
    ]
