"""Every study once in an epoch."""

from __future__ import annotations

import numpy as np

from sm3kit.samplers.base import Array, Sampler, cut


class Shuffle(Sampler):
    """Every study once, in random order; the last batch may be shorter.

    Source: Wang et al. 2025, section 4.2.
    As in the paper.
    """

    def order(
        self, labels: Array, groups: Array, batch_size: int, rng: np.random.Generator
    ) -> list[Array]:
        """Batches of a permutation of all studies."""
        return cut(rng.permutation(len(groups)), batch_size)
