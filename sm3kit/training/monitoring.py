"""What an epoch is looked at for: collapse, ranks of validation pairs, and pseudo-labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from sm3kit.clusterers.base import Clustering
from sm3kit.core.names import pair_names
from sm3kit.data.batches import StudyViews, eval_loader
from sm3kit.networks.branches import Branches
from sm3kit.nn.finite import check_features
from sm3kit.nn.monitors import alignment, normalised_std, rankme, uniformity
from sm3kit.training.base import EpochRow
from sm3kit.training.preparation import Setup

Ranks = dict[
    str, dict[str, dict[str, tuple[float, int]]]
]  # Of splits, spaces, directions: mean rank and pairs.


@contextmanager
def _one_thread() -> Iterator[None]:
    """Runs a block on one thread: with small matrices, others would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
@_one_thread()
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


def validation_ranks(branches: Branches, batches: Any) -> EpochRow:
    """Mean rank of the true partner among the validation pairs, per direction and space.

    NaN where features are not finite: a monitor shows it, and the end of the stage refuses it.
    """
    studies = branches.embed_batches(batches)
    row: EpochRow = {}
    for space, mark in (("projection", "*"), ("backbone", "")):
        for direction, (rank, count) in studies.mean_ranks(space).items():
            row[f"rank/{direction}{mark}"] = rank
            row["rank/of"] = count
            row[f"pairs/{direction}"] = count
    return row


def validation(setup: Setup, branches: Branches) -> Callable[[], EpochRow] | None:
    """What ranks the validation pairs, unless there are none or they are trained on."""
    held_out = setup.pool.cases["val"]
    if not held_out or "val" in setup.variant.splits:
        return None
    shown = StudyViews(setup.pool, held_out, setup.images, setup.variant.seed)
    loader = eval_loader(shown, setup.variant.stage1.batch_size, list(setup.pool.modalities))
    return lambda: validation_ranks(branches, loader)


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


def cluster_row(
    labels: Sequence[str],
    clusterings: Sequence[Clustering],
    partitions: Tensor,
    before: Tensor | None,
    truth: Mapping[str, Tensor],
) -> EpochRow:
    """The clusters of this epoch, as columns of metrics.csv.

    For each label: sizes, entropy of the sizes (1 is balanced), objective, number of re-seeded
    clusters, NMI with the epoch before, and NMI with the true label. The last is for diagnosis:
    nothing is chosen by it. `nmi_labels` is the mean NMI of two labels; 1 says that all labels
    are the same partition.

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
        if before is not None:
            row[f"nmi_before/{name}"] = nmi(before[number], partitions[number])
        if name in truth:
            row[f"nmi_truth/{name}"] = nmi(truth[name], partitions[number])
    pairs = list(combinations(partitions, 2))
    if pairs:
        row["nmi_labels"] = sum(nmi(first, second) for first, second in pairs) / len(pairs)
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
