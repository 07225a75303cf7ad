"""k-means whose doubtful studies count later than the clear ones."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from sm3kit.clusterers.base import Clusterer, Clustering, check_embeddings
from sm3kit.core import ranges
from sm3kit.nn.clustering.kmeans import kmeans


class Confident(Clusterer):
    """k-means of directions; only studies that clearly belong to their cluster count.

    The margin of a study is its cosine to its centroid less that to the next one. Those whose margin is
    below a quantile of all margins have the weight 0. The quantile falls in a straight line over a
    training, so that in the last epoch all studies count.

    Source: Lloyd 1982 and Dhillon and Modha 2001 for the clusters; margins as confidence:
    Scheffer et al. 2001, "Active hidden Markov models".
    Differs from the paper: there the margin is between probabilities, and chooses what to label.

    Args:
        first_quantile: the share of the studies that do not count in the first epoch.
        per_cluster: compare the margins of a cluster among themselves, so that the same share of
            every cluster counts.
        iterations: upper bound of the k-means iterations.
        restarts: number of random starts, of which the best result is kept.
    """

    keeps_numbers: ClassVar[bool] = True
    wants_start: ClassVar[bool] = True

    def __init__(
        self,
        *,
        first_quantile: ranges.ShareBelowOne = 0.5,
        per_cluster: bool = False,
        iterations: ranges.Iterations = 25,
        restarts: ranges.Restarts = 5,
    ) -> None:
        self.first_quantile, self.per_cluster = first_quantile, per_cluster
        self.iterations, self.restarts = iterations, restarts
        self.quantile = 0.0

    def before_epoch(self, progress: float) -> None:
        """Lowers the quantile."""
        self.quantile = self.first_quantile * (1 - progress)

    @torch.no_grad()
    def fit(self, embeddings: Tensor, k: int, seed: int, start: Tensor | None = None) -> Clustering:
        """Clusters embeddings (N, D); the objective is the sum of squared distances of directions.

        Raises:
            DataError: see `Clusterer.fit`.
        """
        rows = check_embeddings(embeddings, k, unit=True)
        best = kmeans(
            rows,
            k,
            torch.Generator().manual_seed(seed),
            spherical=True,
            iterations=self.iterations,
            restarts=self.restarts,
            start=start,
        )
        cosines = rows @ best.centroids.T
        own = best.assignments.unsqueeze(1)
        second = cosines.scatter(1, own, -torch.inf).amax(1)
        margins = (cosines.gather(1, own).squeeze(1) - second).cpu()
        assignments = best.assignments.cpu()
        weights = above_quantile(margins, self._groups(assignments), self.quantile).float()
        return Clustering(assignments, best.centroids.cpu(), best.objective, best.reseeded, weights)

    def _groups(self, assignments: Tensor) -> Tensor:
        return assignments if self.per_cluster else torch.zeros_like(assignments)


def above_quantile(values: Tensor, groups: Tensor, quantile: float) -> Tensor:
    """Which values (N,) are not below the quantile of their group: (N,) bool.

    At least one of each group is among them.
    """
    kept = torch.zeros(len(values), dtype=torch.bool)
    for group in sorted(set(groups.tolist())):
        members = (groups == group).nonzero().flatten()
        left_out = int(quantile * len(members))
        kept[members[values[members].argsort(stable=True)[left_out:]]] = True
    return kept
