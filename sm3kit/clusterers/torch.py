"""k-means by PyTorch alone."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from sm3kit.clusterers.base import Clusterer, Clustering, check_embeddings
from sm3kit.core import ranges
from sm3kit.nn.clustering.kmeans import kmeans


class Torch(Clusterer):
    """k-means in PyTorch on all embeddings, on their device.

    Source: Wang et al. 2025, section 3.3, "k-means"; Lloyd 1982; Dhillon and Modha 2001 for
    directions.
    Differs from the paper: the release runs ten iterations from random rows, which is the
    clusterer `release`. Empty clusters are filled.

    Args:
        spherical: cluster directions: rows and centroids have unit length.
        iterations: upper bound of the k-means iterations.
        restarts: number of random starts, of which the best result is kept.
        init: start from random rows or by k-means++.
        tolerance: stop when the sum of squared distances falls by less than this share.
    """

    wants_start: ClassVar[bool] = True

    def __init__(
        self,
        *,
        spherical: bool = True,
        iterations: ranges.Iterations = 25,
        restarts: ranges.Restarts = 3,
        init: Literal["random", "kmeans++"] = "kmeans++",
        tolerance: ranges.Share = 1e-4,
    ) -> None:
        self.spherical, self.iterations, self.restarts = spherical, iterations, restarts
        self.init, self.tolerance = init, tolerance

    @torch.no_grad()
    def fit(self, embeddings: Tensor, k: int, seed: int, start: Tensor | None = None) -> Clustering:
        """Clusters embeddings (N, D); the objective is the sum of squared distances.

        Raises:
            DataError: see `Clusterer.fit`.
        """
        rows = check_embeddings(embeddings, k, unit=self.spherical)
        best = kmeans(
            rows,
            k,
            torch.Generator().manual_seed(seed),
            spherical=self.spherical,
            iterations=self.iterations,
            restarts=self.restarts,
            init=self.init,
            tolerance=self.tolerance,
            start=start,
        )
        assignments, centroids = best.assignments.cpu(), best.centroids.cpu()
        return Clustering(assignments, centroids, best.objective, best.reseeded)
