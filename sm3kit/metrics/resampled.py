"""Every metric of one or more seeds, on all cases and in each resample, counted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.core.errors import DataError
from sm3kit.metrics.bootstrap import weightings
from sm3kit.metrics.per_label import METRICS
from sm3kit.metrics.predictions import LabelScores, Predictions
from sm3kit.metrics.reporting import holds_classes, metrics_of, needed_classes, rare_classes

Array = npt.NDArray[Any]
Values = dict[str, Array]  # {metric: (1 + R,)}: on all cases, then of each resample.
AGAIN = "Predict the same split of the same data with both."


@dataclass(frozen=True, eq=False)
class Resampled:
    """The metrics of all seeds of one system; the draws are the same for all systems.

    A metric is NaN in the resamples that lack a class it is of, so that it means the same in all
    others; and in all resamples where a class has too few groups for an interval, see
    `rare_classes`. The truth alone decides, so the same resamples count for all systems.

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
        raise DataError("A mean over seeds needs at least one run. Give its predictions.")
    first = runs[0]
    aligned = [align(first, run) for run in runs]
    blocks: list[list[dict[str, Values]]] = []
    for weights in weightings(first.groups, resamples, seed):
        # The first weighting of all is that of all cases.
        blocks.append([_values(run, weights, drawn_from=0 if blocks else 1) for run in aligned])
    values = [_one_below_the_other(parts) for parts in zip(*blocks, strict=True)]
    return Resampled(first, tuple(values), resamples, seed)


def mean_of_labels(labels: Mapping[str, Values], metrics: Sequence[str] = METRICS) -> Values:
    """Means over the labels that are defined on all cases, for each resample on its own.

    A resample that leaves one of these labels undefined has no mean: its mean would be that of
    other labels.
    """
    means = {}
    for metric in metrics:
        values = np.stack([label[metric] for label in labels.values()])  # (L, 1 + R)
        defined = values[~np.isnan(values[:, 0])]
        means[metric] = defined.mean(0) if len(defined) else np.full(values.shape[1], np.nan)
    return means


def _one_below_the_other(parts: Sequence[dict[str, Values]]) -> dict[str, Values]:
    """The values of one system from blocks of weightings."""
    return {
        name: {metric: np.concatenate([part[name][metric] for part in parts]) for metric in METRICS}
        for name in parts[0]
    }


def _values(predictions: Predictions, weights: Array, *, drawn_from: int) -> dict[str, Values]:
    """The metrics of each label; of the weightings, those from `drawn_from` on are resamples."""
    least = predictions.min_positives
    table = {}
    for name, label in predictions.labels.items():
        table[name] = metrics_of(label, least, weights)
        drawn: dict[tuple[int, ...], Array] = {}
        for metric, values in table[name].items():
            classes = needed_classes(label, least, metric)
            if classes not in drawn:
                whole = holds_classes(label, classes, weights[drawn_from:])
                drawn[classes] = whole & (not rare_classes(label, predictions.groups, classes))
            values[drawn_from:][~drawn[classes]] = np.nan
    return table


def align(first: Predictions, second: Predictions) -> Predictions:
    """The second run's predictions in the order of the first's cases.

    Raises:
        DataError: the two did not predict the same cases, labels, classes, truth or groups.
    """
    ours, theirs = set(first.ids.tolist()), set(second.ids.tolist())
    if ours != theirs:
        strange = min(ours ^ theirs)
        raise DataError(
            "A comparison needs two runs on the same cases. "
            f"{len(ours - theirs)} of {len(ours)} cases are only in the first and "
            f"{len(theirs - ours)} of {len(theirs)} only in the second, for example {strange!r}. "
            f"{AGAIN}"
        )
    place = {name: row for row, name in enumerate(second.ids.tolist())}
    second = second.take(np.array([place[name] for name in first.ids.tolist()]))
    if set(first.labels) != set(second.labels):
        raise DataError(
            f"A comparison needs the same labels, not {', '.join(sorted(first.labels))} and "
            f"{', '.join(sorted(second.labels))}. {AGAIN}"
        )
    if first.min_positives != second.min_positives:
        raise DataError(
            "A comparison needs the same min_positives for both, not "
            f"{first.min_positives} and {second.min_positives}. Evaluate one of them again with "
            f"-o evaluate.min_positives={first.min_positives}."
        )
    for name, label in first.labels.items():
        _check_same(name, label, second.labels[name], first.ids)
    different = np.flatnonzero(first.groups != second.groups)
    if len(different):
        row = different[0]
        raise DataError(
            f"A comparison needs the same groups: case {str(first.ids[row])!r} is of "
            f"{str(first.groups[row])!r} in the first and of {str(second.groups[row])!r} in the "
            f"second. {AGAIN}"
        )
    return second


def _check_same(name: str, ours: LabelScores, theirs: LabelScores, ids: Array) -> None:
    if (ours.classes, ours.reported) != (theirs.classes, theirs.reported):
        raise DataError(
            f"A comparison needs the same classes of label {name!r}, not {', '.join(ours.classes)} "
            f"(reported: {ours.reported or 'all'}) and {', '.join(theirs.classes)} "
            f"(reported: {theirs.reported or 'all'}). {AGAIN}"
        )
    different = np.flatnonzero(ours.truth != theirs.truth)
    if len(different):
        raise DataError(
            f"A comparison needs the same truth, but label {name!r} differs in {len(different)} "
            f"of {len(ids)} cases, first {str(ids[different[0]])!r}. {AGAIN}"
        )
