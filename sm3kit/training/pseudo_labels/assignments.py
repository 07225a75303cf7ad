"""What the clusterings of an epoch say of each study."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from sm3kit.clusterers.base import Clustering
from sm3kit.nn.clustering.numbering import same_numbers
from sm3kit.nn.clustering.weak_targets import WeakTargets


def renumbered(clustering: Clustering, rows: Tensor, before: Tensor) -> Clustering:
    """The clustering with the numbers that its clusters had before; see `same_numbers`.

    Args:
        rows: (N, D) the embeddings that were clustered.
        before: (N,) assignments of the epoch before.
    """
    return with_numbers(clustering, same_numbers(rows.cpu(), before.cpu(), clustering.centroids))


def with_numbers(clustering: Clustering, numbers: Tensor) -> Clustering:
    """The clustering, whose clusters take the numbers (k,), all of them different."""
    centroids = torch.empty_like(clustering.centroids)
    centroids[numbers] = clustering.centroids
    own = clustering.assignments
    assignments = torch.where(own >= 0, numbers[own], own)
    return dataclasses.replace(clustering, assignments=assignments, centroids=centroids)


def weights_of(clusterings: Sequence[Clustering], device: torch.device) -> Tensor | None:
    """How much each assignment counts, (K, N); None where all count alike."""
    if all(clustering.counts_alike for clustering in clusterings):
        return None
    return torch.stack([clustering.weights.float() for clustering in clusterings]).to(device)


def soft_targets(
    weak: Sequence[WeakTargets | None], clusterings: Sequence[Clustering], device: torch.device
) -> list[Tensor | None]:
    """The targets (N, C) of each label that has weak labels, None of the others; empty without any."""
    if not any(weak):
        return []
    return [
        None if own is None else own.mixed(clustering.assignments, clustering.weights).to(device)
        for own, clustering in zip(weak, clusterings, strict=True)
    ]


def agreement(weak: WeakTargets, clustering: Clustering) -> float:
    """The share of the studies whose cluster is the class that weak labels find most likely."""
    both = (weak.best >= 0) & (clustering.assignments >= 0)
    same = weak.best[both] == clustering.assignments[both]
    return float(same.float().mean())
