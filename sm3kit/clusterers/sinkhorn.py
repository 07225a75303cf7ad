"""Clusters of given sizes by optimal transport."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering, check_embeddings
from sm3kit.core import ranges
from sm3kit.nn.clustering.partitions import cluster_means, fill_empty, inertia, nearest, spread_rows

# Moves of each column, on average, after which the sizes are taken as they are.
SETTLING = 20


class Sinkhorn(Clusterer):
    """Clusters directions with fixed cluster sizes, so that no cluster takes all studies.

    The assignment Q (N, k) maximises <Q, cosines> + epsilon H(Q), its rows sum to 1/N and its
    columns to the prior r; a row belongs where its Q is largest, a centroid is the mean direction
    of its rows. The two are found in turn.

    Source: Asano et al. 2020, arXiv:1911.05371, equations 4 to 7; Caron et al. 2020,
    arXiv:2006.09882, equations 3 to 5; a prior that is not uniform: Asano et al. 2020,
    arXiv:2006.13662, section 3.2.
    Differs from the paper: centroids are means instead of weights that are learned. The columns
    of Q are moved as a whole until the hard sizes follow the prior, too: close embeddings would
    all take the column of the largest share. Rows that are equal stay together, whatever the
    prior says. Computed in logarithms.

    Args:
        prior: cluster sizes: "uniform", as in the papers, or "power", where the c-th is
            proportional to c^-power. Uniform sizes are wrong if a class is rare, but only the user
            can know how skewed the classes are.
        power: exponent of the power prior; with 2, three clusters hold 73, 18 and 8 %.
        epsilon: weight of the entropy, in cosines; 0.05, SwAV's.
        iterations: upper bound of the updates of the centroids.
        sinkhorn_iterations: scalings of rows and columns in each assignment; 3, SwAV's.
        restarts: number of random starts, of which the best result is kept.
    """

    def __init__(
        self,
        *,
        prior: Literal["uniform", "power"] = "uniform",
        power: ranges.Amount = 1.0,
        epsilon: ranges.Positive = 0.05,
        iterations: ranges.Iterations = 25,
        sinkhorn_iterations: ranges.Iterations = 3,
        restarts: ranges.Restarts = 3,
    ) -> None:
        self.power = power if prior == "power" else 0.0
        self.epsilon, self.restarts = epsilon, restarts
        self.iterations, self.sinkhorn_iterations = iterations, sinkhorn_iterations

    @torch.no_grad()
    def fit(self, embeddings: Tensor, k: int, seed: int) -> Clustering:
        """Clusters embeddings (N, D); the objective is the sum of squared distances of directions.

        Raises:
            DataError: see `Clusterer.fit`.
        """
        rows = check_embeddings(embeddings, k, unit=True)
        shares = torch.arange(1, k + 1, device=rows.device).float() ** -self.power
        shares /= shares.sum()
        # Drawn on the CPU, so that every device starts alike.
        generator = torch.Generator().manual_seed(seed)
        runs = [self._run(rows, shares, generator) for _ in range(self.restarts)]
        return min(runs, key=lambda run: run.objective)

    def _run(self, rows: Tensor, shares: Tensor, generator: torch.Generator) -> Clustering:
        centroids = spread_rows(rows, len(shares), generator)
        sizes = torch.bincount(nearest(rows, centroids)[0], minlength=len(shares))
        # The largest share begins where most rows are.
        centroids = centroids[sizes.argsort(descending=True, stable=True)]
        centre, assignments = rows.mean(0), sizes[:0]
        for _ in range(self.iterations):
            last = assignments
            # What a row, or a column, adds to all its scores changes no plan: without it they
            # keep more digits.
            apart = (centroids - centroids.mean(0)).T
            scores = rows @ apart - centre @ apart
            assignments = assign(scores, shares, self.epsilon, self.sinkhorn_iterations)
            if torch.equal(assignments, last):
                break
            centroids = F.normalize(cluster_means(rows, assignments, centroids), dim=1)
        assignments, centroids, reseeded = fill_empty(rows, assignments, centroids)
        if reseeded:
            centroids = F.normalize(cluster_means(rows, assignments, centroids), dim=1)
        objective = inertia(rows, assignments, centroids)
        return Clustering(assignments.cpu(), centroids.cpu(), objective, reseeded)


def assign(scores: Tensor, shares: Tensor, epsilon: float, iterations: int) -> Tensor:
    """The column (N,) of each row of scores (N, k) in the plan, so that sizes follow the shares.

    Args:
        scores: gain of each row in each column.
        shares: (k,) sums of the columns, which add up to one.
        epsilon: weight of the entropy.
        iterations: scalings of rows and columns.
    """
    scaled, prior = scores / epsilon, shares.log()
    offset = prior
    for _ in range(iterations):
        columns = (scaled + offset).log_softmax(1).logsumexp(0) - math.log(len(scores))
        offset = offset + prior - columns
    return settle(scores + epsilon * offset, shares)


def settle(scores: Tensor, shares: Tensor) -> Tensor:
    """The largest column (N,) of each row of scores (N, k), moved until the shares are met.

    Again and again, the column that is farthest from its share moves as a whole, so that just as
    many rows prefer it as it should have. It is the scaling of a column where epsilon is zero. One
    row too many or too few is let be.
    """
    rows, k = scores.shape
    wanted, scores = (shares * rows).round().long().clamp(min=1), scores.clone()
    for _ in range(SETTLING * k):
        surplus = torch.bincount(scores.argmax(1), minlength=k) - wanted
        column = int(surplus.abs().argmax())
        if k == 1 or abs(int(surplus[column])) <= 1:
            break
        others = scores.clone()
        others[:, column] = -torch.inf
        lead = scores[:, column] - others.amax(1)
        fewer = max(1, rows - int(wanted[column]))
        move = (lead.kthvalue(fewer).values + lead.kthvalue(fewer + 1).values) / 2
        if not move:
            break
        scores[:, column] -= move
    return scores.argmax(1)
