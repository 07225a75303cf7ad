"""Progressive partial optimal transport: confident studies first, clusters of unequal sizes."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering, check_embeddings
from sm3kit.core import ranges
from sm3kit.nn.clustering.kmeans import kmeans
from sm3kit.nn.clustering.partitions import cluster_means, fill_empty, inertia
from sm3kit.nn.clustering.principal import principal_directions
from sm3kit.nn.clustering.transport import transport
from sm3kit.nn.unit_length import unit_length

# A plan is taken as it is when the logarithms of its scalings move by less: one of many plans on the
# way to the centroids, and the partial one, whose sums are read.
NEARLY_SETTLED, SETTLED = 1e-3, 1e-4
# The share of studies that may still change their cluster in the end.
STILL = 1e-3
# Of the shares that are learned, so that a cluster can come back.
LEAST_SHARE = 1e-3
# Below what float64 tells apart in cosines.
TINY = 1e-16


class P2OT(Clusterer):
    """Clusters directions of classes that may be rare, and learns from the confident studies first.

    A plan Q (N, k) moves studies to clusters at the least cost. The cost is -log softmax of the
    cosines to the centroids over a temperature. Every study moves 1/N; the sums of the columns are
    drawn towards the prior, gamma KL(sums || prior). Early in a training the plan moves only a part
    of the mass, 0.1 + 0.9 exp(-5 (1 - t)^2) at the progress t; N times what moves of a study is its
    weight. A centroid is the mean direction of what moves to it. The two are found in turn.

    Source: Zhang et al. 2024, P2OT, ICLR, arXiv:2401.09266, section 4.
    Differs from the paper: (1) centroids are means, not weights that are learned; they and the shares
    are found with all mass, and the partial plan says how much each study counts. (2) The first
    centroids are those of k-means in the leading principal directions, as many as there are clusters: in 512
    dimensions, k-means otherwise splits the largest class along its noise. (3) A study is compared with the
    mean of the others of a cluster, without itself. (4) The temperature is measured: how much the largest
    cosine of a study leads on average, since that may be 1 or 0.001. (5) The prior is the shares of the
    plan before, since the uniform prior of the paper draws rare classes towards equal sizes. What (2),
    (4) and (5) say can be set otherwise.

    Args:
        prior: wanted sizes: "learned" or, as in the paper, "uniform".
        gamma: weight of the divergence of the sizes from the prior; 1, the paper's.
        epsilon: weight of the entropy; 0.1, the paper's.
        temperature: of the cosines; 0 measures it.
        components: principal directions for each cluster in which k-means starts; 0 for the
            whole space.
        first_mass: part of the mass that is moved at the start of a training; 0.1, the paper's.
        iterations: upper bound of the updates of the centroids.
        sinkhorn_iterations: upper bound of the scalings in each plan.
        restarts: runs of k-means, of which the best is the start.
    """

    keeps_numbers: ClassVar[bool] = True
    wants_start: ClassVar[bool] = True

    def __init__(
        self,
        *,
        prior: Literal["learned", "uniform"] = "learned",
        gamma: ranges.Positive = 1.0,
        epsilon: ranges.Epsilon = 0.1,
        temperature: ranges.Amount = 0.0,
        components: ranges.CountOrZero = 1,
        first_mass: ranges.ShareAboveZero = 0.1,
        iterations: ranges.Iterations = 25,
        sinkhorn_iterations: ranges.Iterations = 100,
        restarts: ranges.Restarts = 5,
    ) -> None:
        self.prior, self.gamma, self.epsilon = prior, gamma, epsilon
        self.temperature, self.components, self.first_mass = temperature, components, first_mass
        self.iterations, self.sinkhorn_iterations = iterations, sinkhorn_iterations
        self.restarts, self.mass = restarts, 1.0

    def before_epoch(self, progress: float) -> None:
        """Raises the mass that is moved.

        Source: Zhang et al. 2024, section 4; the ramp of Laine and Aila 2017, arXiv:1610.02242.
        """
        rise = math.exp(-5 * (1 - progress) ** 2)
        self.mass = min(1.0, self.first_mass + (1 - self.first_mass) * rise)

    @torch.no_grad()
    def fit(self, embeddings: Tensor, k: int, seed: int, start: Tensor | None = None) -> Clustering:
        """Clusters embeddings (N, D); the objective is the sum of squared distances of directions.

        Raises:
            DataError: see `Clusterer.fit`.
        """
        rows = check_embeddings(embeddings, k, unit=True).double()
        inner = rows
        if self.components:
            basis = principal_directions(rows, self.components * k)
            inner = rows @ basis
            if start is not None:
                # As long as the rows are, so that those that are filled in are no nearer to all.
                length = torch.linalg.vector_norm(inner, dim=1).mean()
                start = length * F.normalize(start.to(basis) @ basis, dim=1)
        first = kmeans(
            inner,
            k,
            # Drawn on the CPU, so that every device starts alike.
            torch.Generator().manual_seed(seed),
            spherical=not self.components,
            iterations=self.iterations,
            restarts=self.restarts,
            start=start,
        )
        plan, weights = self._alternate(rows, F.one_hot(first.assignments, k).double() / len(rows))
        centroids = unit_length(plan.T @ rows)
        assignments, _, reseeded = fill_empty(rows, plan.argmax(1), centroids)
        if reseeded:
            centroids = unit_length(cluster_means(rows, assignments, centroids))
        return Clustering(
            assignments.cpu(),
            centroids.float().cpu(),
            inertia(rows, assignments, centroids),
            reseeded + first.reseeded,
            weights.cpu(),
        )

    def _alternate(self, rows: Tensor, plan: Tensor) -> tuple[Tensor, Tensor]:
        """Plans and centroids in turn until hardly a study changes its cluster.

        Args:
            rows: (N, D), in float64.
            plan: (N, k) to begin with; its sum is one.

        Returns:
            The plan (N, k) of all mass, and how much of each study the partial plan moves, (N,).
        """
        assignments, offset = plan.argmax(1), None
        for _ in range(self.iterations):
            last, costs, shares = assignments, self._costs(rows, plan), self._shares(plan)
            plan, offset = self._transport(costs, shares, 1.0, offset)
            assignments = plan.argmax(1)
            if int((assignments != last).sum()) <= STILL * len(rows):
                break
        if self.mass == 1:
            return plan, torch.ones(len(rows))
        partial, _ = self._transport(costs, shares, self.mass, offset)
        return plan, (partial.sum(1) * len(rows)).clamp(max=1).float()

    def _costs(self, rows: Tensor, plan: Tensor) -> Tensor:
        """What it costs to move each row to each cluster, (N, k)."""
        cosines = cosines_to_others(rows, plan * len(rows))
        temperature = self.temperature
        if not temperature:
            best = cosines.topk(min(2, plan.shape[1]), dim=1).values
            temperature = max(float((best[:, 0] - best[:, -1]).mean()), TINY)
        return -(cosines / temperature).log_softmax(1)

    def _shares(self, plan: Tensor) -> Tensor:
        """The wanted sums of the columns, (k,)."""
        if self.prior == "uniform":
            return torch.full_like(plan[0], 1 / plan.shape[1])
        shares = plan.sum(0) / plan.sum() + LEAST_SHARE
        return shares / shares.sum()

    def _transport(
        self, costs: Tensor, shares: Tensor, mass: float, offset: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return transport(
            costs,
            shares,
            mass=mass,
            epsilon=self.epsilon,
            gamma=self.gamma,
            iterations=self.sinkhorn_iterations,
            tolerance=NEARLY_SETTLED if mass == 1 else SETTLED,
            offset=offset,
        )


def cosines_to_others(rows: Tensor, weights: Tensor) -> Tensor:
    """The cosines (N, k) of rows to the mean directions of the other rows of each cluster.

    In its own centroid a row of a small cluster meets itself, and stays wherever it is.

    Args:
        rows: (N, D), of unit length.
        weights: (N, k) how much of each row is in each cluster, from 0 to 1. A cluster that is left with
            less than half a row by it keeps the row.
    """
    sums = weights.T @ rows
    products, lengths = rows @ sums.T, sums.square().sum(1)
    out = torch.where(weights.sum(0) - weights < 0.5, 0, weights)
    others = (lengths - 2 * out * products + out.square()).clamp(min=TINY).sqrt()
    return (products - out) / others
