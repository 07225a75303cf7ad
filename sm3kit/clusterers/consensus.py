"""Clusters that many runs of k-means agree on."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering, check_embeddings
from sm3kit.core import ranges
from sm3kit.nn.clustering.co_association import average_linkage, co_association, mean_co_association
from sm3kit.nn.clustering.kmeans import kmeans
from sm3kit.nn.clustering.leading_part import leading_part
from sm3kit.nn.clustering.partitions import cluster_means, nearest
from sm3kit.nn.host.one_thread import one_thread

Times = Annotated[tuple[int, int], ranges.Range(1, 100, rising=True)]
Linked = Annotated[int, ranges.Range(100, 10_000)]


class Consensus(Clusterer):
    """Joins what many runs of k-means put together, so that rare classes are found.

    Each run draws some of the studies and of the features, and makes more clusters than asked for:
    pieces that are too small to mix two classes. A_ij, the co-association, is the share of runs
    that put studies i and j into one piece. Average linkage of A joins pieces to k clusters. The
    weight of a study is its mean co-association with its own cluster; in a large cluster, which
    runs cut into more pieces, it is lower.

    Source: Fred and Jain 2005, IEEE TPAMI 27(6), evidence accumulation, sections 3 and 4; drawing
    studies and features: Fern and Brodley 2003; Strehl and Ghosh 2002, JMLR 3.
    Differs from the paper: (1) runs cluster the leading principal directions of the embeddings, since
    k-means in 512 dimensions splits the largest class along its noise. (2) Above a number of studies,
    a sample is linked; the others go where their mean co-association is largest, as linkage would
    have it. (3) There are weights.

    Args:
        runs: of k-means.
        times: each run makes from so many to so many times the clusters asked for.
        components: principal directions that are clustered, and never fewer than clusters; 0 for all.
        features: share of the features that each run sees. Less makes runs more different, and slower.
        studies: share of the studies that each run is fitted to.
        linked: studies that are linked at most; time and memory grow with its square.
    """

    keeps_numbers: ClassVar[bool] = True

    def __init__(
        self,
        *,
        runs: ranges.Restarts = 20,
        times: Times = (2, 6),
        components: ranges.CountOrZero = 8,
        features: ranges.ShareAboveZero = 1.0,
        studies: ranges.ShareAboveZero = 0.8,
        linked: Linked = 2000,
    ) -> None:
        self.runs, self.times, self.components = runs, times, components
        self.features, self.studies, self.linked = features, studies, linked

    @torch.no_grad()
    def fit(self, embeddings: Tensor, k: int, seed: int) -> Clustering:
        """Clusters embeddings (N, D); the objective is the mean weight, from 0 to 1.

        Raises:
            DataError: see `Clusterer.fit`.
        """
        rows = check_embeddings(embeddings, k, unit=True)
        # Drawn on the CPU, so that every device starts alike.
        generator = torch.Generator().manual_seed(seed)
        pieces = self._pieces(rows, k, generator)
        linked = torch.randperm(len(rows), generator=generator)[: max(self.linked, k)]
        own = average_linkage(co_association(pieces[:, linked]), k)
        near = mean_co_association(pieces, pieces[:, linked], own, k)
        assignments = near.argmax(1)
        assignments[linked] = own
        weights = mean_co_association(pieces, pieces, assignments, k)
        weights = weights.gather(1, assignments.unsqueeze(1)).squeeze(1).clamp(max=1)
        start = rows.new_zeros(k, rows.shape[1])
        centroids = F.normalize(cluster_means(rows, assignments.to(rows.device), start), dim=1)
        objective = float(weights.double().mean())
        return Clustering(assignments, centroids.float().cpu(), objective, weights=weights)

    def _pieces(self, rows: Tensor, k: int, generator: torch.Generator) -> Tensor:
        """The piece (runs, N) of each row in each run, on the CPU."""
        count, width = rows.shape
        components = self.components and max(self.components, k)
        seen = max(1, round(self.features * width))
        # All features: all runs share the directions, which take longest to find.
        shared = leading_part(rows, components).cpu() if seen == width else None
        fewest, most = (k * times for times in self.times)
        pieces = []
        for _ in range(self.runs):
            if shared is None:
                columns = torch.randperm(width, generator=generator)[:seen].to(rows.device)
                part = leading_part(F.normalize(rows[:, columns], dim=1), components).cpu()
            else:
                part = shared
            asked = int(torch.randint(fewest, most + 1, (1,), generator=generator))
            with one_thread():
                pieces.append(self._run(part, asked, generator))
        return torch.stack(pieces)

    def _run(self, part: Tensor, asked: int, generator: torch.Generator) -> Tensor:
        """The piece (N,) of each row in one run."""
        least = min(asked, len(part))
        drawn = torch.randperm(len(part), generator=generator)
        drawn = drawn[: max(least, round(self.studies * len(part)))]
        fitted = kmeans(part[drawn], least, generator, spherical=False, iterations=25, restarts=1)
        return nearest(part, fitted.centroids)[0]
