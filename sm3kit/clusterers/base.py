"""The contract of clusterers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sm3kit.core.errors import DataError


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


def checked(embeddings: Tensor, k: int) -> Tensor:
    """The embeddings (N, D) as float32 on the CPU, if they can be clustered into k parts.

    Raises:
        DataError: fewer embeddings than clusters, or values that are not finite.
    """
    rows = embeddings.detach().float().cpu()
    if len(rows) < k:
        raise DataError(f"{k} clusters want at least {k} embeddings, not {len(rows)}. Lower k.")
    bad = int((~rows.isfinite().all(dim=1)).sum())
    if bad:
        raise DataError(
            f"{bad} of {len(rows)} embeddings hold values that are not finite. "
            "Lower the learning rate of the training that made them."
        )
    return rows
