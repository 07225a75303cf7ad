"""Studies of small clusters come more often."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np

from sm3kit.core.ranges import Range
from sm3kit.samplers.base import Array, Sampler, cut


class ClusterBalanced(Sampler):
    """Draws studies by one over the size of their cluster, averaged over the pseudo-labels.

    An epoch draws as many studies as there are, with replacement: some come several times, some not
    at all. It uses no label, only clusters of features.

    Source: Wang et al. 2025, section 6.4, which proposes adaptive sampling against imbalance.
    Differs from the paper: it does not say how to sample.

    Args:
        clip: a weight above so many times the mean weight is lowered to it; 1 or more.
    """

    on: ClassVar[Literal["labels", "clusters", "nothing"]] = "clusters"

    def __init__(self, *, clip: Annotated[float, Range(1, 1_000_000)] = 10.0) -> None:
        self.clip = clip

    def order(
        self, labels: Array, groups: Array, batch_size: int, rng: np.random.Generator
    ) -> list[Array]:
        """Batches of as many draws as there are studies."""
        weights = self.weigh(labels)
        return cut(rng.choice(len(labels), len(labels), p=weights / weights.sum()), batch_size)

    def weigh(self, labels: Array) -> Array:
        """The weight (N,) of each study of its clusters (N, K), with a mean of 1 before the clip."""
        weights = np.zeros(len(labels))
        for column in labels.T:
            # A study without a cluster counts as one of a cluster of average weight.
            known = column >= 0
            sizes = np.bincount(column[known])
            weights[known] += 1 / sizes[column[known]]
            weights[~known] += (sizes > 0).sum() / max(known.sum(), 1)
        mean = weights.mean()
        return np.minimum(weights / mean, self.clip) if mean else np.ones(len(labels))
