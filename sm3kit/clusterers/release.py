"""The k-means of the authors' program."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering, check_embeddings
from sm3kit.core import ranges
from sm3kit.nn.clustering.partitions import cluster_means


class Release(Clusterer):
    """k-means by inner product, ten iterations from random rows, as in the authors' code.

    The start is not of unit length; every later centroid is. A cluster may become empty; it then
    keeps its centroid. There are no restarts.

    Source: Wang et al. 2025, section 3.3, and their program; the procedure of DeepCluster-v2,
    Caron et al. 2020, arXiv:2006.09882, appendix.
    As in the released code, where the paper says "k-means".

    Args:
        iterations: updates of the centroids; 10, as in the authors' code.
        normalise: scale rows to unit length first; the authors' code does not, since its last
            layer norm gives all rows about the same length.
    """

    def __init__(self, *, iterations: ranges.Iterations = 10, normalise: bool = False) -> None:
        self.iterations, self.normalise = iterations, normalise

    @torch.no_grad()
    def fit(self, embeddings: Tensor, k: int, seed: int) -> Clustering:
        """Clusters embeddings (N, D); the objective is the sum of inner products.

        Raises:
            DataError: see `Clusterer.fit`.
        """
        rows = check_embeddings(embeddings, k, unit=self.normalise)
        # Drawn on the CPU, so that every device starts alike.
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        assignments, centroids = from_start(rows, rows[order[:k].to(rows.device)], self.iterations)
        objective = float((rows @ centroids.T).amax(1).cpu().double().sum())
        return Clustering(assignments.cpu(), centroids.cpu(), objective)


def from_start(rows: Tensor, centroids: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Assignments (N,) and centroids (k, D) of rows (N, D) after so many updates of a start.

    One more assignment follows the last update.
    """
    for _ in range(iterations):
        assignments = (rows @ centroids.T).argmax(1)
        centroids = F.normalize(cluster_means(rows, assignments, centroids), dim=1)
    return (rows @ centroids.T).argmax(1), centroids
