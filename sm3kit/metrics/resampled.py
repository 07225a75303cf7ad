"""Every metric of one or more seeds, on all cases and in each resample, counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.core.errors import DataError
from sm3kit.metrics.alignment import align
from sm3kit.metrics.bootstrap import case_weights
from sm3kit.metrics.per_label import METRICS, mean_of_defined
from sm3kit.metrics.predictions import Predictions
from sm3kit.metrics.reporting import metrics_of

Values = dict[str, npt.NDArray[Any]]  # {metric: (1 + R,)}: on all cases, then of each resample.


@dataclass(frozen=True, eq=False)
class Resampled:
    """The metrics of all seeds of one system; the draws are the same for all systems.

    Attributes:
        cases: the predictions of the first seed; the others have the same cases and truth.
        seeds: {label: {metric: (1 + R,)}} of each seed, on all cases and in R resamples.
        resamples: draws R of the bootstrap of groups.
        seed: of the bootstrap.
    """

    cases: Predictions
    seeds: tuple[dict[str, Values], ...]
    resamples: int
    seed: int

    def means(self) -> dict[str, Values]:
        """The mean over the seeds of each metric, for each resample on its own."""
        return {
            name: {
                metric: np.mean([seed[name][metric] for seed in self.seeds], axis=0)
                for metric in METRICS
            }
            for name in self.cases.labels
        }

    def more_than(self, first: Resampled) -> dict[str, Values]:
        """The averages of this minus those of the first, for each resample on its own.

        Raises:
            DataError: the two differ in cases, labels, classes or truth.
        """
        align(first.cases, self.cases)
        theirs, ours = first.means(), self.means()
        return {
            name: {metric: ours[name][metric] - values[metric] for metric in METRICS}
            for name, values in theirs.items()
        }


def resample(runs: Sequence[Predictions], resamples: int = 2000, seed: int = 0) -> Resampled:
    """The metrics of several seeds of one system on the same cases, in any order.

    Raises:
        DataError: there is no run, or the runs differ in cases, labels, classes or truth.
    """
    if not runs:
        raise DataError("A mean over seeds wants one run at least. Give its predictions.")
    first = runs[0]
    drawn = case_weights(first.groups, resamples, seed)
    # All cases once, and below it the resamples: (1 + R, N).
    weights = np.concatenate([np.ones_like(drawn, shape=(1, drawn.shape[1])), drawn])
    values = [_values(align(first, run), weights) for run in runs]
    return Resampled(first, tuple(values), resamples, seed)


def mean_of_labels(labels: dict[str, Values]) -> Values:
    """Means over the labels that are defined, for each resample on its own."""
    means = {}
    for metric in METRICS:
        values = np.stack([label[metric] for label in labels.values()])  # (L, 1 + R)
        means[metric] = mean_of_defined(values)
    return means


def _values(predictions: Predictions, weights: npt.NDArray[Any]) -> dict[str, Values]:
    return {
        name: metrics_of(label, predictions.min_positives, weights)
        for name, label in predictions.labels.items()
    }
