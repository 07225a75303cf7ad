"""How well clusters agree with classes, with intervals by a bootstrap over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.metrics.bootstrap import interval, weightings
from sm3kit.metrics.reporting import MIN_GROUPS
from sm3kit.metrics.resampled import Values, mean_of_labels

Array = npt.NDArray[Any]
METRICS = ("nmi", "ari", "accuracy")
ONE_CLASS = "fewer than two classes are known"
RARE = f"fewer than two classes have {MIN_GROUPS} patients or lesions"
NOT_DRAWN = "no resample was drawn"
TOO_FEW = "fewer than half of the resamples contain two classes"


@dataclass(frozen=True, eq=False)
class LabelClusters:
    """The clusters of a label.

    Attributes:
        classes: names, in the order of their numbers.
        clusters: how many there are.
        truth: (N,) class of each case, -1 where unknown.
        cluster: (N,) of each case, from 0.
    """

    classes: Sequence[str]
    clusters: int
    truth: Array
    cluster: Array

    def tables(self, weights: Array) -> Array:
        """How often each class meets each cluster, (R, C, K), by weights (R, N) of the cases."""
        known, count = self.truth >= 0, len(self.classes) * self.clusters
        place = self.truth[known] * self.clusters + self.cluster[known]
        # Counts are whole numbers, which float32 holds exactly.
        pairs = np.equal.outer(place, np.arange(count)).astype(np.float32)
        sums = (weights[:, known].astype(np.float32) @ pairs).astype(np.float64)
        tables: Array = sums.reshape(len(weights), len(self.classes), self.clusters)
        return tables


def nmi(tables: Array) -> Array:
    """The mutual information over the mean of the two entropies, (R,); not adjusted for chance.

    Source: Vinh, Epps and Bailey 2010, JMLR 11, table 2, NMI_sum.

    Args:
        tables: (R, C, K) counts, each with two classes at least.
    """
    shares = tables / tables.sum((1, 2), keepdims=True)
    classes, clusters = _entropy(shares.sum(2)), _entropy(shares.sum(1))
    mutual = classes + clusters - _entropy(shares.reshape(len(shares), -1))
    values: Array = np.clip(2 * mutual / (classes + clusters), 0, 1)
    return values


def ari(tables: Array) -> Array:
    """The adjusted Rand index, (R,): 1 for equal partitions, 0 as by chance, and down to -0.5.

    Source: Hubert and Arabie 1985, equation 5.

    Args:
        tables: see `nmi`.
    """
    both = _pairs(tables).sum((1, 2))
    classes, clusters = _pairs(tables.sum(2)).sum(1), _pairs(tables.sum(1)).sum(1)
    by_chance = classes * clusters / _pairs(tables.sum((1, 2)))
    most = (classes + clusters) / 2
    # Two partitions into single cases are equal.
    values: Array = np.ones_like(both)
    np.divide(both - by_chance, most - by_chance, out=values, where=most > 0)
    return values


def accuracy(tables: Array) -> Array:
    """The share of cases whose cluster stands for their class, (R,), each for one at most.

    This is the usual accuracy of clusterings: clusters and classes are matched one to one so that it is
    highest, with the true classes of these very cases. It is no accuracy of a classifier, and at
    least 1 / max(C, K). Where there are more clusters than classes, the rest are wrong.

    Source: Kuhn 1955, the Hungarian method; Yang et al. 2010, IEEE TIP 19(10), section V.

    Args:
        tables: see `nmi`.
    """
    from scipy.optimize import linear_sum_assignment  # It takes long to load.

    matches = [linear_sum_assignment(table, maximize=True) for table in tables]
    right = [table[match].sum() for table, match in zip(tables, matches, strict=True)]
    values: Array = np.array(right) / tables.sum((1, 2))
    return values


def summarise_agreement(
    labels: Mapping[str, LabelClusters], groups: Array, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Agreement of the clusters of each label with its classes, and the means, ready for JSON.

    Clusters and classes are matched anew in each resample. A label of which fewer than two classes
    are known has no numbers, and a resample that lacks all classes but one does not count; nor do labels
    without numbers in the mean. A label of which fewer than two classes have five groups has no interval,
    nor has a mean with such a label.

    Args:
        labels: {name: its clusters}, of the same N cases.
        groups: (N,), the group of each case: a patient, a lesion.
        resamples: draws of the bootstrap of groups; 0 leaves out the intervals.
        seed: of the bootstrap.

    Returns:
        {"labels": {name: {"nmi", "ari", "accuracy", "intervals": {metric: ends}, "interval_reason",
        "largest_class": the accuracy of a single cluster, "known", "counts": {class: cases in each
        cluster}}}, "mean": {"nmi", "ari", "accuracy", "intervals", "interval_reason", "labels": how
        many it is over}}; None stands for what is undefined.
    """
    blocks = [
        {name: label.tables(weights) for name, label in labels.items()}
        for weights in weightings(groups, resamples, seed)
    ]
    values, rows, rare = {}, {}, []
    for name, label in labels.items():
        tables = np.concatenate([block[name] for block in blocks])
        values[name] = _values(tables)
        few = _has_few(label, groups)
        rare += [name] if few and not np.isnan(values[name]["nmi"][0]) else []
        counts = tables[0].astype(int)
        known = int(counts.sum())
        rows[name] = {
            **_with_intervals(values[name], RARE if few else None),
            "largest_class": float(counts.sum(1).max() / known) if known else None,
            "known": known,
            "counts": dict(zip(label.classes, counts.tolist(), strict=True)),
        }
    reason = f"it includes {', '.join(rare)}, without an interval" if rare else None
    mean = _with_intervals(mean_of_labels(values, METRICS), reason)
    mean["labels"] = sum(row["nmi"] is not None for row in rows.values())
    return {"labels": rows, "mean": mean}


def _values(tables: Array) -> Values:
    """The metrics of tables (R, C, K); NaN of those with fewer than two classes."""
    defined = (tables.sum(2) > 0).sum(1) > 1
    values = {}
    for name, metric in zip(METRICS, (nmi, ari, accuracy), strict=True):
        values[name] = np.full(len(tables), np.nan)
        if defined.any():
            values[name][defined] = metric(tables[defined])
    return values


def _has_few(label: LabelClusters, groups: Array) -> bool:
    """Whether fewer than two classes have enough groups for an interval."""
    sizes = [len(np.unique(groups[label.truth == n])) for n in range(len(label.classes))]
    return sum(size >= MIN_GROUPS for size in sizes) < 2


def _with_intervals(values: Values, reason: str | None) -> dict[str, Any]:
    """Values and intervals; without the latter if there is a reason not to give any."""
    points = {name: _plain(values[name][0]) for name in METRICS}
    ends = {name: [_plain(end) for end in interval(values[name][1:])] for name in METRICS}
    if points["nmi"] is None:
        reason = ONE_CLASS
    elif len(values["nmi"]) == 1:
        reason = NOT_DRAWN
    elif reason is None and ends["nmi"][0] is None:
        reason = TOO_FEW
    if reason:
        ends = dict.fromkeys(METRICS, [None, None])
    return {**points, "intervals": ends, "interval_reason": reason}


def _entropy(shares: Array) -> Array:
    """The entropies in nats of shares (R, n)."""
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    entropies: Array = -(shares * logs).sum(1)
    return entropies


def _pairs(counts: Array) -> Array:
    pairs: Array = counts * (counts - 1) / 2
    return pairs


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
