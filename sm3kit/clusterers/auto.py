"""k-means with a number of clusters that the embeddings suggest."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering, check_embeddings
from sm3kit.core import ranges
from sm3kit.nn.clustering.kmeans import KMeans, kmeans
from sm3kit.nn.clustering.leading_part import leading_part
from sm3kit.nn.clustering.partitions import cluster_means, count_distinct, nearest
from sm3kit.nn.host.one_thread import one_thread

# Two numbers of clusters are equally stable if their ARI differs by less.
EQUALLY_STABLE = 0.05


class Auto(Clusterer):
    """k-means of directions into as many clusters as the embeddings suggest, from two on.

    "silhouette" takes the number with the largest mean silhouette by cosine. "stability" clusters two
    halves of the studies, several times, and takes the largest number for which both give about the
    same partition: within 0.05 of the best mean ARI, since two clusters are often as stable as
    three.

    Source: Rousseeuw 1987, J. Comput. Appl. Math. 20, the silhouette; Ben-Hur et al. 2002, PSB, and
    Lange et al. 2004, Neural Computation 16(6), the stability; Hubert and Arabie 1985, the ARI.
    Differs from the paper: k-means and the score see the leading principal directions, since in 512
    dimensions all silhouettes are near zero. The score is that of a sample. Halves share no study.

    Args:
        by: how the number is chosen.
        most_clusters: the largest number that is tried.
        components: principal directions that are clustered; 0 for all.
        sample: studies with which the number is chosen at most.
        repeats: pairs of halves for "stability".
        iterations: upper bound of the k-means iterations.
        restarts: starts of k-means for each number.
    """

    chooses_k: ClassVar[bool] = True
    keeps_numbers: ClassVar[bool] = True

    def __init__(
        self,
        *,
        by: Literal["silhouette", "stability"] = "silhouette",
        most_clusters: Annotated[int, ranges.Range(2, 100)] = 10,
        components: ranges.CountOrZero = 5,
        sample: Annotated[int, ranges.Range(10, 10_000)] = 2000,
        repeats: ranges.Restarts = 3,
        iterations: ranges.Iterations = 25,
        restarts: ranges.Restarts = 5,
    ) -> None:
        self.by, self.most_clusters, self.components = by, most_clusters, components
        self.sample, self.repeats = sample, repeats
        self.iterations, self.restarts = iterations, restarts

    def most(self, k: int) -> int:
        """The largest number that is tried, whatever k is."""
        return self.most_clusters

    @torch.no_grad()
    def fit(self, embeddings: Tensor, k: int, seed: int) -> Clustering:
        """Clusters embeddings (N, D), which have to hold k distinct ones; k says no more.

        The objective is the score of the number that was chosen: the mean silhouette, or the mean
        ARI.

        Raises:
            DataError: see `Clusterer.fit`.
        """
        rows = check_embeddings(embeddings, k, unit=True)
        part = leading_part(rows, self.components).cpu()
        # Drawn on the CPU, so that every device starts alike.
        generator = torch.Generator().manual_seed(seed)
        drawn = part[torch.randperm(len(part), generator=generator)[: self.sample]]
        numbers = self._numbers(drawn)
        measure = self._silhouettes if self.by == "silhouette" else self._stabilities
        scores = measure(drawn, numbers, generator)
        number = choose(scores, 0.0 if self.by == "silhouette" else EQUALLY_STABLE)
        assignments = self._kmeans(part, number, generator).assignments
        start = rows.new_zeros(number, rows.shape[1])
        centroids = F.normalize(cluster_means(rows, assignments.to(rows.device), start), dim=1)
        return Clustering(assignments, centroids.float().cpu(), scores.get(number, 0.0))

    def _kmeans(self, rows: Tensor, k: int, generator: torch.Generator) -> KMeans:
        with one_thread():
            return kmeans(
                rows,
                k,
                generator,
                spherical=True,
                iterations=self.iterations,
                restarts=self.restarts,
            )

    def _numbers(self, rows: Tensor) -> range:
        """The numbers of clusters that rows (N, D) allow."""
        # A silhouette needs one row more than clusters, and half of the rows as many.
        most = min(self.most_clusters, len(rows) - 1)
        if self.by == "stability":
            most = min(most, len(rows) // 2)
        if most < 2:
            return range(0)
        lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        return range(2, count_distinct(rows, lengths, most) + 1)

    def _silhouettes(
        self, rows: Tensor, numbers: range, generator: torch.Generator
    ) -> dict[int, float]:
        """{number of clusters: mean silhouette by cosine}."""
        from sklearn.metrics import silhouette_score  # It takes a second to load.

        distances = (1 - rows.double() @ rows.double().T).clamp(min=0).fill_diagonal_(0).numpy()
        scores = {}
        for number in numbers:
            own = self._kmeans(rows, number, generator).assignments.numpy()
            scores[number] = float(silhouette_score(distances, own, metric="precomputed"))
        return scores

    def _stabilities(
        self, rows: Tensor, numbers: range, generator: torch.Generator
    ) -> dict[int, float]:
        """{number of clusters: mean ARI} of the partitions that two halves of the rows give."""
        from sklearn.metrics import adjusted_rand_score

        scores = dict.fromkeys(numbers, 0.0)
        for _ in range(self.repeats):
            halves = torch.randperm(len(rows), generator=generator).chunk(2)
            for number in numbers:
                first, second = (
                    nearest(rows, self._kmeans(rows[half], number, generator).centroids)[0]
                    for half in halves
                )
                score = adjusted_rand_score(first.numpy(), second.numpy())
                scores[number] += float(score) / self.repeats
        return scores


def choose(scores: dict[int, float], tolerance: float) -> int:
    """The largest number whose score is within a tolerance of the best; one without scores."""
    if not scores:
        return 1
    best = max(scores.values())
    return max(number for number, score in scores.items() if score >= best - tolerance)
