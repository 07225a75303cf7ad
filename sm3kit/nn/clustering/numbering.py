"""Numbers of clusters that stay the same from one clustering to the next."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.nn.clustering.partitions import cluster_means


def same_numbers(rows: Tensor, before: Tensor, centroids: Tensor) -> Tensor:
    """The number (k,) that each cluster takes so that it is called as the one that it is most like.

    Clusters are compared by the cosine of their centroids, one with one at most, so that the cosines
    add up to the most; the centroids of before are those that the old clusters have in the new
    embeddings. What is left over takes the numbers that are free.

    Source: Kuhn 1955, the Hungarian method.

    Args:
        rows: (N, D) the new embeddings.
        before: (N,) the cluster of each study before, -1 where it was in none.
        centroids: (k, D) of the new clusters.
    """
    from scipy.optimize import linear_sum_assignment  # It takes long to load.

    known = before >= 0
    count = int(before.max()) + 1 if known.any() else 0
    numbers = torch.full((len(centroids),), -1)
    if count:
        zeros = torch.zeros(count, rows.shape[1], dtype=rows.dtype, device=rows.device)
        old = F.normalize(cluster_means(rows[known], before[known], zeros), dim=1)
        cosines = F.normalize(centroids.to(old), dim=1) @ old.T
        for new, number in zip(*linear_sum_assignment(-cosines.cpu().numpy()), strict=True):
            numbers[new] = number if number < len(centroids) else -1
    taken = set(numbers.tolist())
    free = iter(number for number in range(len(centroids)) if number not in taken)
    return torch.tensor([number if number >= 0 else next(free) for number in numbers.tolist()])
