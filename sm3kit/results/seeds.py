"""The seeds of one row under one protocol, taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from sm3kit.core.errors import DataError
from sm3kit.metrics.predictions import Predictions
from sm3kit.metrics.resampled import Resampled, resample
from sm3kit.metrics.summary import summary_of, summary_of_difference
from sm3kit.results.cells import Number
from sm3kit.results.results import Record, RowResults

RANKS = ("mean_rank", "acc@1", "acc@5")
PERCENT = 100.0


@dataclass(frozen=True, eq=False)
class Measured:
    """What the seeds of a row have given under one protocol.

    Args:
        name: of the row.
        protocol: how it was measured.
        seeds: those that are done, in order.
        records: one for each of them.
        system: all metrics in each resample; None if there are no predictions to draw from.
        doubt: why there is no interval, in a sentence; empty if there is one.
    """

    name: str
    protocol: str
    seeds: tuple[int, ...]
    records: tuple[Record, ...]
    system: Resampled | None = None
    doubt: str = ""

    def studies(self) -> str:
        """How many studies were measured, such as "395 studies"."""
        return f"{self.records[0]['cases']} studies"

    def summary(self) -> dict[str, Any]:
        """`labels` and `mean` as from `summarise_seeds`; without intervals if they cannot be."""
        if self.system:
            return summary_of(self.system)
        metrics = list(self.records[0]["mean"]["intervals"])
        mean = _averaged([record["mean"] for record in self.records], metrics)
        labels = {
            name: one | _averaged([record["labels"][name] for record in self.records], metrics)
            for name, one in self.records[0]["labels"].items()
            if all(name in record["labels"] for record in self.records)
        }
        first = {name: self.records[0][name] for name in ("cases", "groups")}
        first["min_positives"] = self.records[0].get("min_positives", 1)  # Older ones have none.
        return {"labels": labels, "mean": mean, **first}


def measured(row: RowResults, protocol: str, resamples: int) -> Measured:
    """The seeds of a row under a protocol, from its records and files of predictions."""
    records = row.records.get(protocol, {})
    seeds = tuple(sorted(records))
    found = Measured(row.name, protocol, seeds, tuple(records[seed] for seed in seeds))
    if protocol == "match" or not seeds:
        return found
    runs = []
    for seed in seeds:
        try:
            runs.append(Predictions.load(row.predictions[protocol][seed]))
        except (DataError, KeyError):
            # Not the message itself: it names files of this machine.
            return replace(found, doubt=f"The predictions of seed {seed} are missing or damaged.")
    try:
        return replace(found, system=resample(runs, resamples))
    except DataError as error:
        return replace(found, doubt=str(error))


def metric_number(found: dict[str, Any], metric: str, seeds: int, support: str) -> Number | None:
    """A metric of a label or of the mean, in percent; None if it is undefined."""
    if found.get(metric) is None:
        return None
    spread = found["spread"][metric]
    low, high = found["intervals"][metric]
    return Number(
        PERCENT * found[metric],
        None if spread is None else PERCENT * spread,
        None if low is None else PERCENT * low,
        None if high is None else PERCENT * high,
        seeds,
        support,
    )


def difference(baseline: Measured, row: Measured) -> tuple[Number | None, str]:
    """The mean AUC of a row minus that of the baseline, in points, and what is to be said of it.

    Paired by cases where both have predictions of the same; else the plain difference without an
    interval, with the reason as the second value.
    """
    if not baseline.records or not row.records:
        return None, ""
    seeds = len(row.records)
    try:
        if baseline.system and row.system:
            more = summary_of_difference(baseline.system, row.system)["mean"]
            more |= {"spread": {"auc": None}}
            return metric_number(more, "auc", seeds, baseline.studies()), ""
        doubt = row.doubt or baseline.doubt
    except DataError as error:
        doubt = str(error)
    ours, theirs = row.summary()["mean"]["auc"], baseline.summary()["mean"]["auc"]
    if ours is None or theirs is None:
        return None, doubt
    return Number(PERCENT * (ours - theirs), seeds=seeds, support=row.studies()), doubt


def rank_number(found: Sequence[dict[str, Any]], metric: str) -> Number:
    """A metric of ranks as the mean over seeds; accuracies in percent.

    Args:
        found: the `rank_summary` of each seed.
        metric: one of RANKS.
    """
    scale = 1.0 if metric == "mean_rank" else PERCENT
    values = [scale * one[metric] for one in found]
    support = f"{found[0]['n']} pairs"
    return Number(fmean(values), _spread(values), seeds=len(values), support=support)


def _averaged(found: Sequence[dict[str, Any]], metrics: Sequence[str]) -> dict[str, Any]:
    """Means over the seeds where all have a value, with the deviation and without intervals."""
    means: dict[str, Any] = {"spread": {}, "intervals": dict.fromkeys(metrics, (None, None))}
    for metric in metrics:
        values = [one[metric] for one in found]
        whole = None not in values
        means[metric] = fmean(values) if whole else None
        means["spread"][metric] = _spread(values) if whole else None
    return means


def _spread(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None
