"""Partitions of embeddings: the steps that make them, and the numbers that describe them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Numbers held at a time beside the embeddings: 64 MiB of float32.
HELD = 2**24


def size_entropy(assignments: Tensor, k: int) -> float:
    """The entropy of the cluster sizes over log k: one if balanced, zero if all are in one.

    Args:
        assignments: (N,) int64, 0 to k - 1; rows of -1 are left out.
        k: number of clusters; of one cluster the answer is one.
    """
    if k == 1:
        return 1.0
    sizes = torch.bincount(assignments[assignments >= 0], minlength=k).double()
    return _entropy(sizes) / math.log(k)


def count_distinct(rows: Tensor, lengths: Tensor, enough: int) -> int:
    """How many rows (N, D) differ by more than float32 rounds, counted up to enough.

    Args:
        lengths: (N, 1), of the rows; what is closer than four units of rounding is equal.
    """
    rounding = 4 * torch.finfo(torch.float32).eps * lengths.squeeze(1)
    seen = rows[:1]
    for part, least in zip(torch.split(rows, 256), torch.split(rounding, 256), strict=True):
        new = squared_distances(part, seen).amin(1) > least**2
        while new.any():
            if len(seen) == enough:
                return enough
            another = part[new][:1]
            seen = torch.cat([seen, another])
            new &= squared_distances(part, another).squeeze(1) > least**2
    return len(seen)


def spread_rows(
    rows: Tensor, k: int, generator: torch.Generator, known: Tensor | None = None
) -> Tensor:
    """k of the rows (N, D) that lie far apart, to start from: (k, D).

    Source: Arthur and Vassilvitskii 2007, k-means++; the best of 2 + log k candidates is taken at
    every step, as they advise in section 5 and scikit-learn does.

    Args:
        generator: of the CPU, so that every device draws the same.
        known: (any number, D) from which they lie far, too; the first row is drawn anywhere if
            there are none.
    """
    candidates, picked = 2 + int(math.log(k)), list[int]()
    if known is not None and len(known):
        distances = squared_distances(rows, known).amin(1, keepdim=True)
    else:
        picked = [int(torch.randint(len(rows), (1,), generator=generator))]
        distances = squared_distances(rows, rows[picked])
    while len(picked) < k:
        mass = distances.squeeze(1).cpu().double().cumsum(0)
        draws = torch.rand(candidates, dtype=torch.float64, generator=generator) * mass[-1]
        drawn = torch.searchsorted(mass, draws, right=True).clamp(max=len(rows) - 1)
        closer = distances.minimum(squared_distances(rows, rows[drawn.to(rows.device)]))
        best = int(closer.sum(0).argmin())
        picked.append(int(drawn[best]))
        distances = closer[:, best : best + 1]
    return rows[picked].clone()


def squared_distances(rows: Tensor, centroids: Tensor) -> Tensor:
    """Squared distances (N, k), without the rounding of a matrix product."""
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(rows, centroids, compute_mode=exact).square_()


def nearest(rows: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest of the centroids (k, D) to each row (N, D), and how near.

    Returns:
        (N,) int64, and (N,) how much the squared distance falls short of the row's squared
        length, halved: <x, c> - |c|^2 / 2.
    """
    offset = -centroids.square().sum(1) / 2
    parts = torch.split(rows, max(1, HELD // len(centroids)))
    best = [torch.addmm(offset, part, centroids.T).max(dim=1) for part in parts]
    return torch.cat([part.indices for part in best]), torch.cat([part.values for part in best])


def cluster_means(rows: Tensor, assignments: Tensor, centroids: Tensor) -> Tensor:
    """The mean row of each cluster (k, D); an empty cluster keeps its centroid."""
    k = len(centroids)
    sums = torch.zeros_like(centroids)
    size = max(1, HELD // k)
    # A product with the one-hot assignments: scattered sums differ from run to run on a GPU.
    for part, names in zip(torch.split(rows, size), torch.split(assignments, size), strict=True):
        sums += F.one_hot(names, k).to(rows.dtype).T @ part
    sizes = torch.bincount(assignments, minlength=k).unsqueeze(1)
    return torch.where(sizes > 0, sums / sizes.clamp(min=1), centroids)


def own_distances(rows: Tensor, assignments: Tensor, centroids: Tensor) -> Tensor:
    """The squared distance (N,) of each row from the centroid of its cluster."""
    size = max(1, HELD // rows.shape[1])
    parts = zip(torch.split(rows, size), torch.split(assignments, size), strict=True)
    return torch.cat([(part - centroids[names]).square_().sum(1) for part, names in parts])


def inertia(rows: Tensor, assignments: Tensor, centroids: Tensor) -> float:
    """The sum of the squared distances of the rows (N, D) from the centroids of their clusters."""
    # In float64, which not every device has.
    return float(own_distances(rows, assignments, centroids).cpu().double().sum())


def fill_empty(rows: Tensor, assignments: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor, int]:
    """Gives every empty cluster the row that lies farthest from its centroid, and its neighbours.

    Neighbours are the rows that are nearer to that row than to their own centroid. No cluster is
    emptied by it. Nothing is drawn at random.

    Args:
        rows: (N, D), at least k of them.

    Returns:
        Assignments and centroids, new where there was something to fill, and how many were empty.
    """
    sizes = torch.bincount(assignments, minlength=len(centroids))
    empty = (sizes == 0).nonzero().flatten().tolist()
    if not empty:
        return assignments, centroids, 0
    centroids = centroids.clone()
    for cluster in empty:
        distances = own_distances(rows, assignments, centroids)
        sizes = torch.bincount(assignments, minlength=len(centroids))
        row = int(distances.masked_fill(sizes[assignments] < 2, -1).argmax())
        centroids[cluster] = rows[row]
        nearer = squared_distances(rows, rows[row : row + 1]).squeeze(1) < distances
        moved = torch.where(nearer, cluster, assignments)
        moved[row] = cluster
        if (torch.bincount(moved, minlength=len(sizes))[sizes > 0] == 0).any():
            moved = assignments.clone()
            moved[row] = cluster
        assignments = moved
    return assignments, centroids, len(empty)


def _entropy(sizes: Tensor) -> float:
    """The entropy in nats of counts, float64."""
    shares = sizes[sizes > 0] / sizes.sum()
    return max(0.0, -float((shares * shares.log()).sum()))
