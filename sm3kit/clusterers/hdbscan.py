"""Dense groups by HDBSCAN; what lies between them is left out."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering, check_embeddings
from sm3kit.core import ranges
from sm3kit.nn.clustering.leading_part import leading_part
from sm3kit.nn.clustering.partitions import cluster_means, nearest

Smallest = Annotated[int, ranges.Range(2, 1_000_000)]
Sample = Annotated[int, ranges.Range(100, 100_000)]


class Hdbscan(Clusterer):
    """Finds dense groups of directions, as many as there are; studies in none do not count.

    The weight of a study is its membership, from 1 in the core of its group to 0 at its edge. Where
    nothing is dense, all studies are left out and their label learns nothing in this epoch.

    Source: Campello et al. 2013, and 2015, ACM TKDD 10(1); scikit-learn computes it.
    Differs from the paper: in 512 dimensions density is flat and hardly anything is dense; so groups
    are sought in the leading principal directions. Above a number of studies, a sample is clustered,
    and the others follow the nearest study of the sample.

    Args:
        components: principal directions in which groups are sought; 0 for all.
        smallest_share: the smallest group, as a share of the studies; 0.02, the size of a rare class.
        smallest: the smallest group in studies, whatever the share says.
        most_clusters: the largest groups that are kept; others are left out.
        sample: studies that are clustered at most; time grows with its square.
    """

    chooses_k: ClassVar[bool] = True
    keeps_numbers: ClassVar[bool] = True

    def __init__(
        self,
        *,
        components: ranges.CountOrZero = 5,
        smallest_share: ranges.ShareBelowOne = 0.02,
        smallest: Smallest = 5,
        most_clusters: Annotated[int, ranges.Range(1, 1000)] = 10,
        sample: Sample = 10_000,
    ) -> None:
        self.components, self.smallest_share, self.smallest = components, smallest_share, smallest
        self.most_clusters, self.sample = most_clusters, sample

    def most(self, k: int) -> int:
        """The largest number of groups that are kept, whatever k is."""
        return self.most_clusters

    @torch.no_grad()
    def fit(self, embeddings: Tensor, k: int, seed: int) -> Clustering:
        """Clusters embeddings (N, D), which have to hold k distinct ones; k says no more.

        The objective is the share of the studies that are in a group. Without any there is one
        centroid, the mean direction.

        Raises:
            DataError: see `Clusterer.fit`.
        """
        rows = check_embeddings(embeddings, k, unit=True)
        part = leading_part(rows, self.components).cpu()
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        drawn = order[: self.sample].sort().values
        groups, memberships = self._groups(part[drawn])
        like = torch.arange(len(rows))
        if len(drawn) < len(rows):
            like, _ = nearest(part, part[drawn])
        assignments, weights = largest_first(groups, self.most_clusters)[like], memberships[like]
        weights = torch.where(assignments >= 0, weights, 0)
        inside = (assignments >= 0).to(rows.device)
        share = float(inside.float().mean())
        if not share:
            centroids = F.normalize(rows.mean(0, keepdim=True), dim=1)
            return Clustering(assignments, centroids.float().cpu(), share, weights=weights)
        start = rows.new_zeros(int(assignments.max()) + 1, rows.shape[1])
        means = cluster_means(rows[inside], assignments.to(rows.device)[inside], start)
        centroids = F.normalize(means, dim=1).float().cpu()
        return Clustering(assignments, centroids, share, weights=weights)

    def _groups(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The group (N,) of each row, -1 for none, and its membership (N,)."""
        from sklearn.cluster import HDBSCAN  # Only where it is used: it takes a second to load.

        least = max(self.smallest, round(self.smallest_share * len(rows)))
        if len(rows) < 2 * least:  # Nothing could be split.
            return torch.full((len(rows),), -1), torch.zeros(len(rows))
        # Distances of unit rows rank as their cosines.
        clusters = HDBSCAN(min_cluster_size=least, copy=True).fit(rows.double().numpy())
        memberships = torch.from_numpy(clusters.probabilities_).float().clamp(0, 1)
        return torch.from_numpy(clusters.labels_).long(), memberships


def largest_first(groups: Tensor, most: int) -> Tensor:
    """The groups (N,) numbered by size, the largest 0; those after `most` become -1, as no group is.

    Args:
        groups: (N,) int64 from 0, -1 for none.
        most: groups that are kept.
    """
    sizes = torch.bincount(groups[groups >= 0])
    if not len(sizes):
        return groups
    numbers = torch.empty_like(sizes)
    numbers[sizes.argsort(descending=True, stable=True)] = torch.arange(len(sizes))
    numbers[numbers >= most] = -1
    return torch.where(groups >= 0, numbers[groups], -1)
