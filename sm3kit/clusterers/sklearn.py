"""k-means by scikit-learn."""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering, check_embeddings
from sm3kit.core import ranges
from sm3kit.nn.clustering.partitions import cluster_means, fill_empty, inertia


class Sklearn(Clusterer):
    """k-means of scikit-learn on all embeddings, on the CPU, for machines without FAISS.

    Source: Wang et al. 2025, section 3.3, "k-means"; Pedregosa et al. 2011, JMLR 12.
    Differs from the paper: the release runs ten iterations from random rows, which is the
    clusterer `release`. scikit-learn clusters rows of unit length by distance to their plain means, which
    get unit length at the end. Empty clusters are filled.

    Args:
        spherical: cluster directions: rows and centroids have unit length.
        iterations: upper bound of the k-means iterations; fewer if the centroids converge.
        restarts: number of random starts, of which the best result is kept.
        init: start from random rows or by k-means++.
    """

    def __init__(
        self,
        *,
        spherical: bool = True,
        iterations: ranges.Iterations = 25,
        restarts: ranges.Restarts = 3,
        init: Literal["random", "kmeans++"] = "kmeans++",
    ) -> None:
        self.spherical, self.iterations, self.restarts = spherical, iterations, restarts
        self.init = init

    def fit(self, embeddings: Tensor, k: int, seed: int) -> Clustering:
        """Clusters embeddings (N, D); the objective is the sum of squared distances.

        Raises:
            DataError: see `Clusterer.fit`.
        """
        from sklearn.cluster import KMeans  # Only where it is used: it takes a second to load.
        from sklearn.exceptions import ConvergenceWarning

        rows = check_embeddings(embeddings.cpu(), k, unit=self.spherical)
        kmeans = KMeans(
            k,
            init="k-means++" if self.init == "kmeans++" else "random",
            n_init=self.restarts,
            max_iter=self.iterations,
            random_state=seed % 2**32,  # scikit-learn takes no other.
        )
        with warnings.catch_warnings():
            # It warns of empty clusters, which are filled below.
            warnings.simplefilter("ignore", ConvergenceWarning)
            kmeans.fit(rows.numpy())
        assignments = torch.from_numpy(kmeans.labels_).long()
        centroids = torch.from_numpy(kmeans.cluster_centers_).float()
        assignments, centroids, reseeded = fill_empty(rows, assignments, centroids)
        centroids = cluster_means(rows, assignments, centroids)
        if self.spherical:
            centroids = F.normalize(centroids, dim=1)
        objective = inertia(rows, assignments, centroids)
        return Clustering(assignments, centroids, objective, reseeded)
