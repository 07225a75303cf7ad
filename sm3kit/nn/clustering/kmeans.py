"""k-means in PyTorch, on the device of the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.nn.clustering.partitions import cluster_means, fill_empty, inertia, nearest, spread_rows
from sm3kit.nn.clustering.starts import complete_start


class KMeans(NamedTuple):
    """What k-means ends with.

    Attributes:
        assignments: (N,) int64, the cluster of each row; none is empty.
        centroids: (k, D).
        objective: the sum of the squared distances of the rows from their centroids.
        reseeded: how often an empty cluster had to be filled.
    """

    assignments: Tensor
    centroids: Tensor
    objective: float
    reseeded: int


def kmeans(
    rows: Tensor,
    k: int,
    generator: torch.Generator,
    *,
    spherical: bool,
    iterations: int,
    restarts: int,
    init: Literal["random", "kmeans++"] = "kmeans++",
    tolerance: float = 1e-4,
    start: Tensor | None = None,
) -> KMeans:
    """The best of several runs of k-means on rows (N, D).

    Source: Lloyd 1982; Dhillon and Modha 2001 for directions.

    Args:
        rows: of unit length if spherical.
        k: number of clusters.
        generator: of the CPU, so that every device draws the same.
        spherical: centroids have unit length.
        iterations: upper bound of the updates of the centroids.
        restarts: number of random starts.
        init: start from random rows or by k-means++.
        tolerance: stop when the sum of squared distances falls by less than this share.
        start: (k, D) centroids from which the only run starts; see `complete_start` for NaN.
    """
    # Around their mean, close rows keep apart in float32.
    centre = rows.mean(0)
    rows = rows - centre

    def place(means: Tensor) -> Tensor:
        return F.normalize(means + centre, dim=1) - centre if spherical else means

    def draw() -> Tensor:
        if init == "kmeans++":
            return spread_rows(rows, k, generator)
        return rows[torch.randperm(len(rows), generator=generator)[:k].to(rows.device)]

    if start is not None:
        starts = [complete_start(rows, place(start.to(rows) - centre), generator)]
    else:
        starts = [draw() for _ in range(restarts)]
    runs = [lloyd(rows, own, iterations, tolerance, place) for own in starts]
    best = min(runs, key=lambda run: run.objective)
    return best._replace(centroids=best.centroids + centre)


def lloyd(
    rows: Tensor,
    centroids: Tensor,
    iterations: int,
    tolerance: float,
    place: Callable[[Tensor], Tensor] = lambda means: means,
) -> KMeans:
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
    return KMeans(assignments, centroids, total, reseeded + filled)
