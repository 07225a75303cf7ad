"""Targets from clusters and weak labels: scores that tell, for some studies, which class is likely."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.nn.clustering.partitions import cluster_means


@dataclass(frozen=True)
class WeakTargets:
    """What scores say of the C classes of one label, for N studies.

    Attributes:
        classes: their names, in index order.
        likely: (N, C) float32, how likely each class is; a row adds up to 1, and is zero for a study
            that nothing is known of.
        best: (N,) int64, the class with the highest score; -1 where nothing is known, or where
            several are equal.
        share: from 0 to 1, how much the scores count beside the clusters.
    """

    classes: tuple[str, ...]
    likely: Tensor
    best: Tensor
    share: float

    @classmethod
    def of(
        cls, classes: tuple[str, ...], scores: Tensor, temperature: float, share: float
    ) -> WeakTargets:
        """The softmax of scores (N, C) over a temperature, of the classes that are known.

        Args:
            classes: names of the C classes.
            scores: like logits; NaN where unknown.
            temperature: a low one makes the best class more likely.
            share: see `share`.
        """
        known = ~scores.isnan()
        logits = torch.where(known, scores.double() / temperature, -torch.inf)
        rows = known.any(1)
        likely = torch.zeros_like(logits)
        likely[rows] = logits[rows].softmax(1)
        highest = logits.amax(1, keepdim=True)
        alone = rows & ((logits == highest).sum(1) == 1)
        best = torch.where(alone, logits.argmax(1), -1)
        return cls(classes, likely.float(), best, share)

    @property
    def covered(self) -> Tensor:
        """Whether something is known of each study, (N,) bool."""
        return self.likely.sum(1) > 0

    def class_numbers(self, assignments: Tensor) -> Tensor:
        """The class (C,) that each cluster is most like, one for one.

        Clusters and classes are paired so that the studies of the clusters are most likely of their
        classes, in sum.

        Source: Kuhn 1955, the Hungarian method.

        Args:
            assignments: (N,) a cluster from 0 to C - 1, or -1 for none.
        """
        from scipy.optimize import linear_sum_assignment  # It takes long to load.

        count = len(self.classes)
        counted = torch.zeros(count, count, dtype=torch.float64)
        taken = assignments >= 0
        counted.index_add_(0, assignments[taken], self.likely[taken].double())
        _, numbers = linear_sum_assignment(-counted.numpy())
        return torch.from_numpy(numbers).long()

    def mixed(self, assignments: Tensor, weights: Tensor) -> Tensor:
        """Targets (N, C): the cluster, and beside it what the scores say.

        A study that no score is known of has its cluster alone, and one that is in no cluster the
        scores alone. How much a study counts is the sum of its row.

        Args:
            assignments: (N,) clusters that have the numbers of their classes; -1 is none.
            weights: (N,) how much each assignment counts, from 0 to 1.
        """
        share = self.share * self.covered.float()[:, None]
        own = F.one_hot(assignments.clamp(min=0), len(self.classes)).float()
        own = own * (weights * (assignments >= 0))[:, None]
        return (1 - share) * own + share * self.likely

    def start(self, rows: Tensor, seeds: int) -> Tensor:
        """Where the clusters begin: the means (C, D) of the studies that are most likely of a class.

        They are drawn from the studies whose best class it is; where there is none, from all that
        the class is known of. A class that is known of no study has no start: a row of NaN.

        Args:
            rows: (N, D) embeddings.
            seeds: studies of each class, at most.
        """
        chosen = self.chosen_seeds(seeds).to(rows.device)
        none = torch.full((len(self.classes), rows.shape[1]), torch.nan).to(rows)
        taken = chosen >= 0
        return cluster_means(rows[taken], chosen[taken], none)

    def chosen_seeds(self, seeds: int) -> Tensor:
        """The class (N,) that each study is a seed of; -1 for none. See `start`."""
        chosen = torch.full((len(self.best),), -1)
        without = [number for number in range(len(self.classes)) if number not in self.best]
        sure = [number for number in range(len(self.classes)) if number not in without]
        for number in (*sure, *without):
            own = self.best == number if number in sure else self.likely[:, number] > 0
            own = own & (chosen < 0)
            order = (self.likely[:, number] * own).argsort(descending=True, stable=True)
            chosen[order[: min(seeds, int(own.sum()))]] = number
        return chosen


def fingerprint(targets: Mapping[str, WeakTargets]) -> str:
    """A hash of what scores say of all labels."""
    digest = hashlib.blake2b(digest_size=8)
    for name, own in targets.items():
        digest.update(repr((name, own.classes, own.share)).encode())
        digest.update(own.likely.numpy().tobytes())
    return digest.hexdigest()
