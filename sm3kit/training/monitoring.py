"""What an epoch is looked at for: collapse of features, and pseudo-labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

from sm3kit.clusterers.base import Clustering
from sm3kit.core.names import pair_names
from sm3kit.nn.host.one_thread import one_thread
from sm3kit.nn.monitors import alignment, lidar, normalised_std, rankme, uniformity
from sm3kit.training.base import EpochRow

LIDAR_IMAGES = 128  # That LiDAR is of; more would take longer than the step.


@torch.no_grad()
@one_thread()
def collapse(seen: dict[str, list[list[Tensor]]]) -> EpochRow:
    """The collapse monitors of the newest rows that a module has seen in training.

    Args:
        seen: {modality, or stream with a trailing *: batches of views (B, D)}.

    Returns:
        std, RankMe and uniformity per modality and stream, alignment of the views of each, and
        alignment between streams of two modalities; NaN where features are not finite.
    """
    row: EpochRow = {}
    joined = {}
    for name, batches in seen.items():
        views = [torch.cat(view).float().cpu() for view in zip(*batches, strict=True)]
        if not views or len(views[0]) < 2:
            continue
        joined[name] = views
        row[f"std/{name}"] = normalised_std(views[0])
        row[f"rankme/{name}"] = rankme(views[0])
        row[f"uniformity/{name}"] = uniformity(views[0])
        if len(views) > 1:
            row[f"alignment/{name}"] = alignment(views[0], views[1])
    streams = [name[:-1] for name in joined if name.endswith("*")]
    for (first, second), name in pair_names(streams).items():
        row[f"alignment/{name}"] = alignment(joined[f"{first}*"][0], joined[f"{second}*"][0])
    return row


@torch.no_grad()
@one_thread()
def discrimination(seen: dict[str, list[list[Tensor]]], modalities: Sequence[str]) -> EpochRow:
    """LiDAR of the features of each modality, of the two newest views of the newest images.

    Args:
        seen: see `collapse`.
        modalities: their names.
    """
    row: EpochRow = {}
    for name in modalities:
        views = [torch.cat(view).float().cpu() for view in zip(*seen.get(name, []), strict=True)]
        if len(views) > 1 and len(views[0]) > 1:
            row[f"lidar/{name}"] = lidar([view[-LIDAR_IMAGES:] for view in views])
    return row


def cluster_row(
    labels: Sequence[str],
    clusterings: Sequence[Clustering],
    partitions: Tensor,
    before: Tensor | None,
    truth: Mapping[str, Tensor],
) -> EpochRow:
    """The clusters of this epoch, as columns of metrics.csv.

    For each label: sizes, entropy of the sizes (1 is balanced), objective, number of re-seeded
    clusters, how many studies are left out, if any, the mean weight of the studies where they do
    not count alike, NMI with the epoch before, and NMI with the true label. The last is for
    diagnosis: nothing is chosen by it. `nmi_labels` is the mean NMI of two labels that share a
    study which both cluster; 1 says that all labels are the same partition.

    Args:
        labels: names of the K labels.
        clusterings: of each label.
        partitions: (K, N) the cluster of each study.
        before: those of the epoch before, or None.
        truth: {label: (N,) class of each study, -1 where unknown}.
    """
    row: EpochRow = {}
    for number, (name, clustering) in enumerate(zip(labels, clusterings, strict=True)):
        row[f"sizes/{name}"] = "+".join(str(size) for size in clustering.sizes.tolist())
        row[f"entropy/{name}"] = clustering.entropy
        row[f"objective/{name}"] = clustering.objective
        row[f"reseeded/{name}"] = clustering.reseeded
        left_out = int((clustering.assignments < 0).sum())
        if left_out:
            row[f"left_out/{name}"] = left_out
        if not clustering.counts_alike:
            counting = clustering.weights * (clustering.assignments >= 0)
            row[f"weight/{name}"] = float(counting.mean())
        if before is not None:
            row[f"nmi_before/{name}"] = nmi(before[number], partitions[number])
        if name in truth:
            row[f"nmi_truth/{name}"] = nmi(truth[name], partitions[number])
    pairs = [nmi(first, second) for first, second in combinations(partitions, 2)]
    shared = [value for value in pairs if not math.isnan(value)]
    if pairs:
        row["nmi_labels"] = sum(shared) / len(shared) if shared else math.nan
    return row


def nmi(first: Tensor, second: Tensor) -> float:
    """How much two partitions of the same rows agree: one if equal, zero if independent.

    The mutual information over the arithmetic mean of the two entropies, of scikit-learn. Two
    partitions into one cluster each are equal; without a row that both know it is not a number.

    Source: Vinh et al. 2010, JMLR 11, table 2, NMI_sum.

    Args:
        first, second: (N,) int64 from 0; rows where either is -1 are left out.
    """
    from sklearn.metrics import normalized_mutual_info_score  # It takes a second to load.

    known = (first >= 0) & (second >= 0)
    if not known.any():
        return float("nan")
    score = normalized_mutual_info_score(first[known].numpy(), second[known].numpy())
    return min(1.0, float(score))  # Equal partitions may be above by a rounding.
