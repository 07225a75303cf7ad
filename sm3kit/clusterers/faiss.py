"""k-means by FAISS."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering, check_embeddings
from sm3kit.core import ranges
from sm3kit.nn.clustering.partitions import cluster_means, fill_empty, inertia


class Faiss(Clusterer):
    """k-means of FAISS on all embeddings, on a GPU if there is one.

    Source: Wang et al. 2025, section 3.3, "k-means"; Douze et al. 2024, arXiv:2401.08281.
    Differs from the paper: the release runs ten iterations from random rows, which is the
    clusterer `release`. Empty clusters are filled.

    Args:
        spherical: cluster directions: rows and centroids have unit length.
        iterations: upper bound of the k-means iterations; 25, as in FAISS.
        restarts: number of random starts, of which the best result is kept; three sometimes miss a
            small cluster, since the k-means++ of FAISS takes the first candidate.
        init: start from random rows or by k-means++.
        gpu: use a GPU if FAISS sees one.
    """

    def __init__(
        self,
        *,
        spherical: bool = True,
        iterations: ranges.Iterations = 25,
        restarts: ranges.Restarts = 5,
        init: Literal["random", "kmeans++"] = "kmeans++",
        gpu: bool = True,
    ) -> None:
        self.spherical, self.iterations, self.restarts = spherical, iterations, restarts
        self.init, self.gpu = init, gpu

    def fit(self, embeddings: Tensor, k: int, seed: int) -> Clustering:
        """Clusters embeddings (N, D); the objective is the sum of squared distances.

        Raises:
            DataError: see `Clusterer.fit`.
        """
        import faiss  # After torch, and only where it is used: both bring an OpenMP runtime.

        rows = check_embeddings(embeddings.float().cpu(), k, unit=self.spherical).contiguous()
        method = "KMEANS_PLUS_PLUS" if self.init == "kmeans++" else "RANDOM"
        kmeans = faiss.Kmeans(
            rows.shape[1],
            k,
            niter=self.iterations,
            nredo=self.restarts,
            spherical=self.spherical,
            seed=seed % 2**31,  # FAISS holds it in an int.
            init_method=getattr(faiss, f"ClusteringInitMethod_{method}"),
            min_points_per_centroid=1,
            max_points_per_centroid=len(rows),
            check_input_data_for_NaNs=False,  # Done.
            gpu=self.gpu and faiss.get_num_gpus() > 0,
        )
        kmeans.train(rows.numpy())
        near, nearest = kmeans.assign(rows.numpy())
        assignments = torch.from_numpy(np.asarray(nearest, dtype=np.int64).reshape(-1))
        centroids = torch.from_numpy(np.array(kmeans.centroids, dtype=np.float32))
        # Cosines if spherical: a squared distance is two less twice the cosine.
        total = float(np.sum(near, dtype=np.float64))
        objective = 2 * len(rows) - 2 * total if self.spherical else total
        assignments, centroids, reseeded = fill_empty(rows, assignments, centroids)
        if reseeded:
            centroids = cluster_means(rows, assignments, centroids)
            centroids = F.normalize(centroids, dim=1) if self.spherical else centroids
            objective = inertia(rows, assignments, centroids)
        return Clustering(assignments, centroids, objective, reseeded)
