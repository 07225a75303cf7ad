"""What the clusterings of an epoch say of each study."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from sm3kit.clusterers.base import Clustering
from sm3kit.nn.clustering.numbering import same_numbers


def renumbered(clustering: Clustering, rows: Tensor, before: Tensor) -> Clustering:
    """The clustering with the numbers that its clusters had before; see `same_numbers`.

    Args:
        rows: (N, D) the embeddings that were clustered.
        before: (N,) assignments of the epoch before.
    """
    numbers = same_numbers(rows.cpu(), before.cpu(), clustering.centroids)
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
