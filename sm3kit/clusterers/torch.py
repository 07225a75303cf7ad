"""k-means by PyTorch alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering, check_embeddings
from sm3kit.core import ranges
from sm3kit.nn.clustering.partitions import cluster_means, fill_empty, inertia, nearest, spread_rows
from sm3kit.nn.clustering.starts import complete_start


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
        # Around their mean, close rows keep apart in float32. Unit rows are a copy already.
        centre = rows.mean(0)
        rows = rows.sub_(centre) if self.spherical else rows - centre

        def place(means: Tensor) -> Tensor:
            return F.normalize(means + centre, dim=1) - centre if self.spherical else means

        # Drawn on the CPU, so that every device starts alike.
        generator = torch.Generator().manual_seed(seed)
        if start is not None:
            starts = [complete_start(rows, place(start.to(rows) - centre), generator)]
        else:
            starts = [self._start(rows, k, generator) for _ in range(self.restarts)]
        runs = [lloyd(rows, own, self.iterations, self.tolerance, place) for own in starts]
        best = min(runs, key=lambda run: run.objective)
        centroids = (best.centroids + centre).cpu()
        return Clustering(best.assignments.cpu(), centroids, best.objective, best.reseeded)

    def _start(self, rows: Tensor, k: int, generator: torch.Generator) -> Tensor:
        if self.init == "kmeans++":
            return spread_rows(rows, k, generator)
        return rows[torch.randperm(len(rows), generator=generator)[:k].to(rows.device)]


def lloyd(
    rows: Tensor,
    centroids: Tensor,
    iterations: int,
    tolerance: float,
    place: Callable[[Tensor], Tensor] = lambda means: means,
) -> Clustering:
    """k-means of rows (N, D) from the centroids (k, D), on their device.

    Args:
        iterations: upper bound of the updates of the centroids.
        tolerance: stop when the sum of squared distances falls by less than this share.
        place: from the means of the clusters (k, D) to their centroids.
    """
    lengths = float(torch.linalg.vector_norm(rows)) ** 2
    last, reseeded = float("inf"), 0
    for _ in range(iterations):
        assignments, near = nearest(rows, centroids)
        total = lengths - 2 * float(near.sum())
        if total >= (1 - tolerance) * last:
            break
        assignments, centroids, filled = fill_empty(rows, assignments, centroids)
        # A filled cluster changes the sum: the next one is no sign of standing still.
        last, reseeded = float("inf") if filled else total, reseeded + filled
        centroids = place(cluster_means(rows, assignments, centroids))
    assignments, _ = nearest(rows, centroids)
    assignments, centroids, filled = fill_empty(rows, assignments, centroids)
    if filled:
        centroids = place(cluster_means(rows, assignments, centroids))
    total = inertia(rows, assignments, centroids)
    return Clustering(assignments, centroids, total, reseeded + filled)
