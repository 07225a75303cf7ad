"""What validation studies tell: ranks of true partners, and labels of nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sm3kit.data.batches import StudyViews, eval_loader
from sm3kit.data.cases import Case
from sm3kit.datasets.base import LabelSpec
from sm3kit.metrics.bootstrap import case_weights
from sm3kit.metrics.per_label import mean_of_defined
from sm3kit.metrics.predictions import LabelScores
from sm3kit.metrics.reporting import metrics_of
from sm3kit.networks.branches import Branches
from sm3kit.networks.pair_spaces import PairSpaces
from sm3kit.nn.finite import check_features, not_finite
from sm3kit.nn.neighbours import votes
from sm3kit.nn.unit_length import unit_length
from sm3kit.training.base import EpochRow
from sm3kit.training.preparation import Setup

NEIGHBOURS, TEMPERATURE = 20, 0.07  # Of the kNN AUC; as `evaluate --protocol knn`.
SHARE = 10  # At most every tenth study votes: without itself, a study sees fewer of its own class.
RESAMPLES = 100  # Of its standard error.
# {split: {space: {direction: (mean rank, pairs)}}}.
Ranks = dict[str, dict[str, dict[str, tuple[float, int]]]]


def knn_row(
    joint: Tensor, studies: PairSpaces, labels: Sequence[LabelSpec], cases: Sequence[Case]
) -> EpochRow:
    """The AUC of the labels of each study among those of its nearest neighbours.

    Nobody votes on a study of the same patient or lesion. Labels are looked at here alone: nothing
    is trained or chosen by it. NaN where features are not finite.

    Args:
        joint: (N, J) joint features.
        studies: N, with the features of each modality.
        labels: K.
        cases: the studies, for classes and groups.

    Returns:
        knn_auc of the joint feature, its standard error (a bootstrap of groups) and the number of
        studies with a label, and knn_auc of each modality among the studies that have it; none
        that is undefined.
    """
    truth = torch.tensor([case.labels for case in cases]).reshape(len(cases), len(labels))
    groups = torch.tensor([case.group for case in cases])
    known = (truth >= 0).any(1)
    row: EpochRow = {}
    tables = {"knn_auc": (joint, known)}
    tables |= {
        f"knn_auc/{name}": (rows, known & studies.present[name])
        for name, rows in studies.features.items()
    }
    for column, (rows, mask) in tables.items():
        values = _knn_auc(rows[mask], truth[mask], groups[mask], labels)
        if values is None:
            continue
        row[column] = float(values[0])
        if column == "knn_auc":
            row["knn_auc_error"] = _deviation(values[1:])
            row["knn_auc_of"] = int(mask.sum())
    return row


def _knn_auc(rows: Tensor, truth: Tensor, groups: Tensor, labels: Sequence[LabelSpec]) -> Any:
    """Mean AUC (1 + R,) of the labels that have one, of all studies and of resamples, or None."""
    if len(rows) < 2:
        return None
    if not_finite({"rows": rows}):
        return np.full(1 + RESAMPLES, np.nan)
    unit = unit_length(rows)
    classes = [len(label.classes) for label in labels]
    count = max(1, min(NEIGHBOURS, len(rows) // SHARE))
    (shares,) = votes(unit, unit, truth, classes, [count], TEMPERATURE, (groups, groups))
    drawn = case_weights(groups.numpy(), RESAMPLES, 0)
    weights = np.concatenate([np.ones_like(drawn, shape=(1, len(rows))), drawn])
    table = []
    for share, classes_of, label in zip(shares, truth.T.numpy(), labels, strict=True):
        scores = LabelScores(label.classes, label.reported, share.numpy(), classes_of)
        auc = metrics_of(scores, 1, weights)["auc"]
        table += [] if np.isnan(auc[0]) else [auc]
    return mean_of_defined(np.stack(table)) if table else None


def _deviation(values: Any) -> float:
    """The standard deviation of the resamples that have a value; NaN of fewer than two."""
    known = values[~np.isnan(values)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")


def validation_row(
    branches: Branches, batches: Any, labels: Sequence[LabelSpec], cases: Sequence[Case]
) -> EpochRow:
    """What the validation studies tell: ranks of true partners, and the AUC of neighbours' labels.

    Mean rank of the true partner among the validation pairs, per direction and space; NaN where
    features are not finite: a monitor shows it, and the end of the stage refuses it. See `knn_row`.
    """
    studies = branches.embed_batches(batches)
    row: EpochRow = {}
    for space, mark in (("projection", "*"), ("backbone", "")):
        for direction, (rank, count) in studies.mean_ranks(space).items():
            row[f"rank/{direction}{mark}"] = rank
            row["rank/of"] = count
            row[f"pairs/{direction}"] = count
    if labels:
        joint = branches.joint(studies.features, studies.present).cpu()
        row |= knn_row(joint, studies, labels, cases)
    return row


def validation(setup: Setup, branches: Branches) -> Callable[[], EpochRow] | None:
    """What looks at the validation studies.

    None where there are none, where they are trained on, or where they have neither pairs nor labels.
    """
    held_out, labels = setup.pool.cases["val"], setup.pool.labels
    if not held_out or "val" in setup.variant.splits:
        return None
    if not labels and len(setup.pool.modalities) < 2:
        return None
    shown = StudyViews(setup.pool, held_out, setup.images, setup.variant.seed)
    loader = eval_loader(shown, setup.variant.stage1.batch_size, list(setup.pool.modalities))
    return lambda: validation_row(branches, loader, labels, held_out)


def final_ranks(setup: Setup, branches: Branches) -> Ranks:
    """{split: {space: {direction: (mean rank, pairs)}}} of the networks as they are.

    Raises:
        TrainingError: their features are not finite.
    """
    names = list(setup.pool.modalities)
    if len(names) < 2:
        return {}
    # Lightning brings the networks back to the CPU when it is done.
    branches.to("cuda" if torch.cuda.is_available() else "cpu")
    ranks: Ranks = {}
    for split in dict.fromkeys([*setup.variant.splits, "val"]):
        cases = setup.pool.cases[split]
        if not cases:
            continue
        shown = StudyViews(setup.pool, cases, setup.images, setup.variant.seed)
        batches: Any = eval_loader(shown, setup.variant.stage1.batch_size, names, setup.workers)
        studies = branches.embed_batches(batches)
        check_features(studies.vectors(), f"of the split {split}, after stage 1,")
        ranks[split] = {space: studies.mean_ranks(space) for space in ("backbone", "projection")}
    return ranks
