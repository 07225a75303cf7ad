"""The same number of studies for each class of each label, in every batch."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from sm3kit.core.errors import VariantError
from sm3kit.core.ranges import Count
from sm3kit.samplers.base import Array, Sampler


class LabelBalanced(Sampler):
    """Batches of k studies for each class of each label, whatever the batch size.

    A batch has k * (number of all classes) studies: 24 for the eight labels of Derm7pt and k = 1.
    An epoch has as many batches as it takes for the number of studies. The studies of a class come
    in random order, all of them once before any of them again; those of a rare class come often. A
    study stands in a batch for one class of one label, and its other labels come along: they are
    less unbalanced than without, but not balanced.

    Source: Kawahara et al. 2019, Seven-Point Checklist and Skin Lesion Classification Using
    Multitask Multimodal Neural Nets, IEEE JBHI 23(2), with k = 1.
    Differs from the paper: it does not say how long an epoch is.

    Args:
        k: studies of each class.
    """

    on: ClassVar[Literal["labels", "clusters", "nothing"]] = "labels"
    every_class: ClassVar[bool] = True

    def __init__(self, *, k: Count = 1) -> None:
        self.k = k

    def order(
        self, labels: Array, groups: Array, batch_size: int, rng: np.random.Generator
    ) -> list[Array]:
        """As many batches as cover the number of studies."""
        members = _members(labels)
        count = -(-len(labels) // (self.k * len(members)))
        columns = [_rounds(studies, count * self.k, rng) for studies in members]
        batches = np.stack(columns, axis=1).reshape(count, -1)
        # Mixed, so that each of several processes gets its share of every class.
        return list(rng.permuted(batches, axis=1))


def _members(labels: Array) -> list[Array]:
    """The studies of each class of each label.

    Raises:
        VariantError: a class below the highest one has none.
    """
    members = []
    for number, column in enumerate(labels.T):
        for cls in range(max(int(column.max(initial=-1)), 0) + 1):
            studies = np.flatnonzero(column == cls)
            if not len(studies):
                raise VariantError(
                    f"No study has class {cls} of label {number}, and batches that are balanced by "
                    "labels need every class."
                )
            members.append(studies)
    if not members:
        raise VariantError("There are no labels, and batches are to be balanced by them.")
    return members


def _rounds(studies: Array, count: int, rng: np.random.Generator) -> Array:
    """So many studies, in rounds of random order."""
    rounds = -(-count // len(studies))
    return np.concatenate([rng.permutation(studies) for _ in range(rounds)])[:count]
