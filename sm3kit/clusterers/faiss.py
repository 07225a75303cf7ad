"""k-means by FAISS."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering, checked


class Faiss(Clusterer):
    """k-means of FAISS, on the GPU where there is one; all points are used.

    Source: Wang et al. 2025, section 3.3, "k-means"; Douze et al. 2024, arXiv:2401.08281.
    Differs from the paper: the release uses ten iterations of its own from random rows.

    Args:
        spherical: cluster directions: rows and centroids have unit length.
        iterations: upper bound of the k-means iterations.
        restarts: runs from different starts, of which the best is kept.
        init: start from random rows or by k-means++.
        gpu: use a GPU if FAISS sees one.
    """

    def __init__(
        self,
        *,
        spherical: bool = True,
        iterations: int = 25,
        restarts: int = 3,
        init: Literal["random", "kmeans++"] = "kmeans++",
        gpu: bool = True,
    ) -> None:
        self.spherical, self.iterations, self.restarts = spherical, iterations, restarts
        self.init, self.gpu = init, gpu

    def fit(self, embeddings: Tensor, k: int, seed: int) -> Clustering:
        """Clusters embeddings (N, D); the objective is the sum of squared distances.

        With `spherical` it is the sum of cosines.

        Raises:
            DataError: fewer embeddings than clusters, or values that are not finite.
        """
        import faiss  # After torch, and only where it is used: both bring an OpenMP runtime.

        rows = checked(embeddings, k)
        points = np.ascontiguousarray(
            (F.normalize(rows, dim=1) if self.spherical else rows).numpy()
        )
        method = "KMEANS_PLUS_PLUS" if self.init == "kmeans++" else "RANDOM"
        kmeans = faiss.Kmeans(
            points.shape[1],
            k,
            niter=self.iterations,
            nredo=self.restarts,
            spherical=self.spherical,
            seed=seed,
            init_method=getattr(faiss, f"ClusteringInitMethod_{method}"),
            min_points_per_centroid=1,
            max_points_per_centroid=len(points),
            gpu=self.gpu and faiss.get_num_gpus() > 0,
        )
        kmeans.train(points)
        _, nearest = kmeans.assign(points)
        return Clustering(
            torch.from_numpy(np.asarray(nearest).reshape(-1).astype(np.int64)),
            torch.from_numpy(np.array(kmeans.centroids, dtype=np.float32)),
            float(np.asarray(kmeans.obj)[-1]),
        )
