"""The laws of clusterers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sm3kit.clusterers.base import Clusterer, Clustering, fit_from
from sm3kit.core.errors import DataError
from sm3kit.testing import tensors
from sm3kit.testing.every_plugin import check_documented
from sm3kit.testing.law import Laws, NotTried, Plugin, require
from sm3kit.testing.tensors import WIDTH


@dataclass(frozen=True)
class ClustererTrial:
    """A clusterer class and the options to build it with."""

    plugin: Plugin
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Clusterer:
        """The clusterer."""
        clusterer: Clusterer = self.plugin(**self.options)
        return clusterer

    def cluster(self, seed: int = 0) -> Clustering:
        """Its three clusters of points in three groups."""
        return self.build().fit(points(), 3, seed=seed)


LAWS: Laws[ClustererTrial] = Laws()
TRUTH = torch.arange(60) % 3


def points() -> Tensor:
    """Sixty points (60, D) in three groups that are far apart; `TRUTH` has their groups."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(3, WIDTH) * 10
    return centres[TRUTH] + 0.01 * torch.randn(60, WIDTH, generator=generator)


def check_clusterer(plugin: Plugin, **options: Any) -> None:
    """Finds three far groups, gives the same for the same seed, and refuses what cannot be.

    The random state and the embeddings stay as they were.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    LAWS.enforce(ClustererTrial(plugin, options), plugin)


@LAWS.law("builds", first=True)
def builds(trial: ClustererTrial) -> None:
    """It can be built."""
    trial.build()


@LAWS.law("partition")
def whole_partition(trial: ClustererTrial) -> None:
    """Every row is in one of k clusters or in none, and each cluster has a finite centroid."""
    clustering, clusterer = trial.cluster(), trial.build()
    count = len(clustering.centroids)
    require(clustering.assignments.shape == (60,), "does not assign every row")
    require(clustering.assignments.dtype == torch.int64, "gives assignments that are not int64")
    least = 1 if clusterer.chooses_k else 3
    require(least <= count <= clusterer.most(3), "gives another number of clusters than it may")
    require(clustering.centroids.shape == (count, WIDTH), "gives centroids that are not (k, D)")
    require(bool(clustering.centroids.isfinite().all()), "gives centroids that are not finite")
    require(math.isfinite(clustering.objective), "gives an objective that is not finite")
    require(clustering.sizes.shape == (count,), "assigns clusters outside 0 to k - 1")
    left_out = int((clustering.assignments < 0).sum())
    require(bool((clustering.assignments >= -1).all()), "assigns clusters below -1")
    require(int(clustering.sizes.sum()) + left_out == 60, "has sizes that do not add up")


@LAWS.law("weights")
def weights_count(trial: ClustererTrial) -> None:
    """Weights are from 0 to 1, early and late in a training."""
    for progress in (0.0, 0.5, 1.0):
        clusterer = trial.build()
        clusterer.before_epoch(progress)
        weights = clusterer.fit(points(), 3, seed=0).weights
        require(weights.shape == (60,), "gives weights that are not (N,)")
        require(bool(((weights >= 0) & (weights <= 1)).all()), "gives weights outside 0 to 1")
        require(bool((weights > 0).any()), "gives no row a weight")


@LAWS.law("far groups")
def far_groups(trial: ClustererTrial) -> None:
    """Groups that are far apart are found."""
    pairs = set(zip(TRUTH.tolist(), trial.cluster().assignments.tolist(), strict=True))
    require(len(pairs) == 3, "does not find three groups that are far apart")


@LAWS.law("batch order")
def any_order(trial: ClustererTrial) -> None:
    """The order of the rows does not matter where groups are far apart."""
    clustering = trial.build().fit(points().flip(0), 3, seed=0)
    pairs = set(zip(TRUTH.flip(0).tolist(), clustering.assignments.tolist(), strict=True))
    require(len(pairs) == 3, "depends on the order of the rows")


@LAWS.law("seed")
def seed_decides(trial: ClustererTrial) -> None:
    """The same seed gives the same answer."""
    first, second = trial.cluster(), trial.cluster()
    require(torch.equal(first.assignments, second.assignments), "ignores its seed")
    require(torch.equal(first.centroids, second.centroids), "ignores its seed")


@LAWS.law("input")
def input_stays(trial: ClustererTrial) -> None:
    """The embeddings stay as they were."""
    rows = points()
    trial.build().fit(rows, 3, seed=0)
    require(torch.equal(points(), rows), "changes the embeddings in place")


@LAWS.law("random state")
def random_states_stay(trial: ClustererTrial) -> None:
    """The global random states stay as they were."""
    clusterer, rows = trial.build(), points()
    tensors.leaves_random_states(lambda: clusterer.fit(rows, 3, seed=0))


@LAWS.law("start")
def start_gives_numbers(trial: ClustererTrial) -> None:
    """A start near the groups gives the clusters its numbers; a missing row does no harm."""
    clusterer = trial.build()
    if not clusterer.wants_start:
        raise NotTried("it takes no start")
    for order in ([0, 1, 2], [2, 0, 1]):
        start = torch.stack([points()[group == TRUTH].mean(0) for group in order]) + 0.5
        wanted = torch.tensor(order).argsort()[TRUTH]
        for missing in (None, 0, 2):
            known = start.clone()
            if missing is not None:
                known[missing] = torch.nan
            assignments = fit_from(clusterer, points(), 0, known).assignments
            require(torch.equal(assignments, wanted), "does not keep the numbers of its start")


@LAWS.law("refusals")
def refusals(trial: ClustererTrial) -> None:
    """Too few rows, too few distinct rows and NaN are refused with a DataError."""
    rows = points()
    not_finite = rows.clone()
    not_finite[0, 0] = torch.nan
    refused = {
        "too few rows": rows[:2],
        "NaN": not_finite,
        "fewer distinct rows than clusters": rows[:2].repeat(5, 1),
    }
    for what, wrong in refused.items():
        try:
            trial.build().fit(wrong, 3, seed=0)
        except DataError:
            continue
        require(False, f"clusters what cannot be clustered: {what}")
