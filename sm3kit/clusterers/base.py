"""The contract of clusterers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol, cast

import torch
from torch import Tensor

from sm3kit.core.errors import DataError
from sm3kit.nn.clustering.partitions import count_distinct, size_entropy
from sm3kit.nn.precision import full_precision


@dataclass(frozen=True)
class Clustering:
    """A partition of N embeddings, on the CPU.

    Attributes:
        assignments: (N,) int64, cluster of each embedding, 0 to k - 1, or -1 for one that is left out.
        centroids: (k, D) float32.
        objective: the value that the method minimised or maximised, for reports.
        reseeded: how often an empty cluster had to be filled.
        weights: (N,) float32, from 0 to 1, how much each assignment counts in training; 1 unless a
            clusterer says otherwise. What is left out counts nothing, whatever stands here.
    """

    assignments: Tensor
    centroids: Tensor
    objective: float
    reseeded: int = 0
    weights: Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        if not len(self.weights):
            object.__setattr__(self, "weights", torch.ones(len(self.assignments)))

    @property
    def sizes(self) -> Tensor:
        """Number of embeddings in each cluster: (k,) int64."""
        taken = self.assignments[self.assignments >= 0]
        return torch.bincount(taken, minlength=len(self.centroids))

    @property
    def counts_alike(self) -> bool:
        """Whether all assignments count the same."""
        return bool((self.weights == 1).all())

    @property
    def entropy(self) -> float:
        """Entropy of the sizes over log k: one if balanced, and for a single cluster."""
        return size_entropy(self.assignments, len(self.centroids))


class Clusterer:
    """Partitions embeddings. Built as `Clusterer(**options)`.

    Attributes:
        chooses_k: finds its own number of clusters, up to `most(k)`.
        keeps_numbers: asks that a cluster has the number of the one of the epoch before that it is
            most like; without it numbers are arbitrary in every epoch.
        wants_start: takes centroids to start from; see `fit` and `fit_from`.
    """

    chooses_k: ClassVar[bool] = False
    keeps_numbers: ClassVar[bool] = False
    wants_start: ClassVar[bool] = False

    def before_epoch(self, progress: float) -> None:
        """Runs before the clusterings of an epoch; `progress` grows from 0 to 1 over the training.

        A clusterer that is never told is at the end of a training.
        """

    def most(self, k: int) -> int:
        """The largest number of clusters that `fit` may give where it is asked for k."""
        return k

    def fit(self, embeddings: Tensor, k: int, seed: int) -> Clustering:
        """Clusters embeddings (N, D) into k parts; the same seed gives the same answer.

        It draws nothing from the global random state and leaves the embeddings as they are.

        A clusterer with `wants_start` has one argument more, `start=None`: centroids (k, D) from
        which it goes on instead of its own starts, so that cluster c is what becomes of row c.
        Rows of NaN are clusters without a start, which begin far from the others. Others reach it
        through `fit_from`.

        Raises:
            DataError: fewer embeddings than clusters, fewer distinct ones, or values that are
                not finite.
        """
        raise NotImplementedError


class _Startable(Protocol):
    """A clusterer that takes centroids to start from."""

    def fit(
        self, embeddings: Tensor, k: int, seed: int, start: Tensor | None = None
    ) -> Clustering: ...


def fit_from(clusterer: Clusterer, embeddings: Tensor, seed: int, start: Tensor) -> Clustering:
    """Clusters embeddings (N, D) from a start (k, D), by a clusterer with `wants_start`.

    Args:
        clusterer: which one.
        embeddings: (N, D).
        seed: decides where clusters without a start begin.
        start: centroids; NaN where a cluster has none.

    Raises:
        DataError: the start has another width than the embeddings, or see `Clusterer.fit`.
    """
    if start.ndim != 2 or start.shape[1:] != embeddings.shape[1:]:
        raise DataError(
            f"Centroids of shape {tuple(start.shape)} are no start for embeddings of shape "
            f"{tuple(embeddings.shape)}. Give them the same width."
        )
    return cast(_Startable, clusterer).fit(embeddings, len(start), seed, start=start)


def check_embeddings(embeddings: Tensor, k: int, unit: bool = False) -> Tensor:
    """The embeddings (N, D) in float32 at least, on their device, if they can be clustered into k parts.

    Args:
        k: number of clusters.
        unit: bring every embedding to unit length, so that directions are clustered. The answer
            is then a copy; otherwise it may be the embeddings themselves.

    Raises:
        DataError: no table of embeddings, fewer embeddings than clusters, fewer distinct ones, or
            values that are not finite.
    """
    if embeddings.ndim != 2:
        raise DataError(
            f"Embeddings to cluster must have the shape (N, D), not {tuple(embeddings.shape)}."
        )
    if k < 1:
        raise DataError(f"{k} clusters are impossible. Ask for one or more.")
    if len(embeddings) < k:
        raise DataError(
            f"{k} clusters need at least {k} embeddings, not {len(embeddings)}. Lower k."
        )
    rows = full_precision(embeddings.detach())
    # One pass serves both: a length is finite only where every value is.
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    bad = int((~lengths.isfinite()).sum())
    if bad:
        raise DataError(
            f"{bad} of {len(rows)} embeddings hold values that are not finite, or beyond 1e18. "
            "Lower the learning rate of the training that made them."
        )
    if unit:
        rows, lengths = rows / lengths.clamp(min=1e-12), torch.ones_like(lengths)
    distinct = count_distinct(rows, lengths, k)
    if distinct < k:
        raise DataError(
            f"{len(rows)} embeddings hold only {distinct} distinct "
            f"{'directions' if unit else 'rows'}, too few for {k} clusters: they have collapsed. "
            "Lower the learning rate of the training that made them, or lower k."
        )
    return rows
