"""The contract of samplers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def cut(order: Array, size: int) -> list[Array]:
    """Positions in order as batches of a size; the last one may be shorter."""
    return [order[start : start + size] for start in range(0, len(order), size)]


class Sampler:
    """Which studies make a batch.

    Built as `Sampler(**options)`. It keeps nothing between epochs: the order of an epoch depends on
    its arguments alone.

    Attributes:
        on: "labels" gets the labels of the studies; "clusters" gets pseudo-labels instead, clusters
            of their features, and so uses no label; "nothing" needs neither.
        every_class: needs a training study of every class; data without are refused.
    """

    on: ClassVar[Literal["labels", "clusters", "nothing"]] = "nothing"
    every_class: ClassVar[bool] = False

    def __init__(self) -> None:
        """A sampler without options."""

    def order(
        self, labels: Array, groups: Array, batch_size: int, rng: np.random.Generator
    ) -> list[Array]:
        """The batches of one epoch, as positions of studies.

        Args:
            labels: (N, K) int64, the class or cluster of each study, -1 where unknown; see `on`.
            groups: (N,) int64, the patient or lesion of each study.
            batch_size: studies per batch; a sampler whose batches have a size of their own says so.
                How many batches there are follows from N, K, the groups, this size and the numbers of
                classes or clusters, so that a training knows how many steps it will take.
            rng: of this epoch.

        Returns:
            Batches (b,) int64.

        Raises:
            VariantError: the labels leave nothing to draw from.
        """
        raise NotImplementedError
