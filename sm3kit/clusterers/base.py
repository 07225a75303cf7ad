"""The contract of clusterers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Clustering:
    """A partition of N embeddings.

    Attributes:
        assignments: (N,) int64, cluster of each embedding, 0 to k - 1.
        centroids: (k, D) float32.
        objective: the value that the method minimised or maximised, for reports.
    """

    assignments: Tensor
    centroids: Tensor
    objective: float


class Clusterer:
    """Partitions embeddings. Built as `Clusterer(**options)`."""

    def fit(self, embeddings: Tensor, k: int, seed: int) -> Clustering:
        """Clusters embeddings (N, D) into k parts; the same seed gives the same answer.

        Raises:
            DataError: fewer embeddings than clusters, or values that are not finite.
        """
        raise NotImplementedError
