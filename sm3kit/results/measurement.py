"""What a grid has measured, and the seeds of one of its rows taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from sm3kit.core.errors import DataError
from sm3kit.evaluation.missing.dropped import protocol_and_drop
from sm3kit.evaluation.record_text import Record
from sm3kit.evaluation.settings import PREDICTING
from sm3kit.metrics.predictions import Predictions
from sm3kit.metrics.resampled import Resampled, resample
from sm3kit.metrics.summary import summary_of, summary_of_difference
from sm3kit.results.numbers import RANKS, Number

PERCENT = 100.0
CHANCE = 0.5  # Of an AUC.


@dataclass(frozen=True)
class RowResults:
    """All that is known of one row.

    Args:
        name: as in the grid, such as `sep_shared` or `lr=0.001`.
        recipes: names of its recipes in order; the last one with a published number counts.
        axes: {axis: value} of this row; empty in a table of named rows.
        records: {protocol: {seed: record}}, as `evaluate` returns and writes them.
        predictions: {protocol: {seed: file of predictions}}, of protocols that predict.
        failed: {seed: reason} of the seeds that broke.
        protocols: how it is measured; empty where that is not known.
    """

    name: str
    recipes: tuple[str, ...] = ()
    axes: Mapping[str, Any] = field(default_factory=dict)
    records: Mapping[str, Mapping[int, Record]] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    protocols: tuple[str, ...] = ()

    def measures(self, protocol: str) -> bool:
        """Whether the row is measured by a protocol, as far as that is known."""
        return not self.protocols or protocol in self.protocols


@dataclass(frozen=True)
class GridResults:
    """All rows of a grid, and what they have in common.

    Args:
        title: of the table.
        folder: of the grid; it is not printed anywhere.
        data: the specs of the data, such as `derm7pt:/data/derm7pt`.
        split, select: what is measured on, and the rule by which an epoch is chosen.
        protocols: in the order of the tables.
        seeds: that are wanted of each row.
        baseline: name of the row that the others are compared with; empty if there is none.
        rows: in the order of the table.
        axes: {axis: values} of a study of hyper-parameters, one factor at a time; else empty.
        metric: the one of labels that rows are compared by, of MEANS.
    """

    title: str
    folder: Path
    data: tuple[str, ...]
    split: str
    select: str
    protocols: tuple[str, ...]
    seeds: tuple[int, ...]
    baseline: str
    rows: Sequence[RowResults]
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    metric: str = "auc"

    def metrics(self, protocol: str) -> tuple[str, ...]:
        """The metrics that are compared with the published ones, the first one first."""
        return RANKS if protocol == "match" else (self.metric,)


@dataclass(frozen=True, eq=False)
class Measurement:
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
        mean = _means([record["mean"] for record in self.records], metrics)
        labels = {
            name: label | _means([record["labels"][name] for record in self.records], metrics)
            for name, label in self.records[0]["labels"].items()
            if all(name in record["labels"] for record in self.records)
        }
        first = {name: self.records[0][name] for name in ("cases", "groups")}
        first["min_positives"] = self.records[0].get("min_positives", 1)  # Older ones have none.
        return {"labels": labels, "mean": mean, **first}


def measure(row: RowResults, protocol: str, resamples: int) -> Measurement:
    """The seeds of a row under a protocol, from its records and files of predictions."""
    records = row.records.get(protocol, {})
    seeds = tuple(sorted(records))
    measurement = Measurement(row.name, protocol, seeds, tuple(records[seed] for seed in seeds))
    if protocol_and_drop(protocol)[0] not in PREDICTING or not seeds:
        return measurement
    runs = []
    for seed in seeds:
        try:
            runs.append(Predictions.load(row.predictions[protocol][seed]))
        except (DataError, KeyError):
            # Not the message itself: it names files of this machine.
            return replace(
                measurement, doubt=f"The predictions of seed {seed} are missing or damaged."
            )
    try:
        return replace(measurement, system=resample(runs, resamples))
    except DataError as error:
        return replace(measurement, doubt=str(error))


def metric_number(
    summary: Mapping[str, Any], metric: str, seeds: int, support: str
) -> Number | None:
    """A metric of a label or of the mean, in percent; None if it is undefined."""
    if summary.get(metric) is None:
        return None
    spread = summary.get("spread", {}).get(metric)
    low, high = summary["intervals"][metric]
    return Number(
        PERCENT * summary[metric],
        None if spread is None else PERCENT * spread,
        None if low is None else PERCENT * low,
        None if high is None else PERCENT * high,
        seeds,
        support,
    )


def summary_of_gain(baseline: Measurement, row: Measurement) -> tuple[dict[str, Any] | None, str]:
    """All metrics of a row minus those of the baseline, and what is to be said of it.

    Paired by cases where both have predictions of the same; else only the plain difference of the
    mean AUC, without an interval, with the reason as the second value.
    """
    if not baseline.records or not row.records:
        return None, ""
    try:
        if baseline.system and row.system:
            return summary_of_difference(baseline.system, row.system), ""
        doubt = row.doubt or baseline.doubt
    except DataError as error:
        doubt = str(error)
    ours, theirs = row.summary()["mean"]["auc"], baseline.summary()["mean"]["auc"]
    if ours is None or theirs is None:
        return None, doubt
    mean = {"auc": ours - theirs, "intervals": {"auc": (None, None)}}
    return {"mean": mean, "labels": {}}, doubt


def difference(baseline: Measurement, row: Measurement) -> tuple[Number | None, str]:
    """The mean AUC of a row minus that of the baseline, in points, and what is to be said of it."""
    gain, doubt = summary_of_gain(baseline, row)
    more = metric_number(gain["mean"], "auc", len(row.records), row.studies()) if gain else None
    return more, doubt


def with_evidence(
    number: Number,
    metric: str,
    summary: Mapping[str, Any],
    gain: Mapping[str, Any] | None,
    *,
    resampled: bool,
) -> Number:
    """A number with what tells whether it is better than guessing, and than the baseline.

    It is at chance if the interval of the AUC reaches down to 50 %, or if a class is so rare that
    there is no interval; where intervals were not asked for, if the AUC itself is no higher.

    Args:
        number: a metric of a label or of the mean.
        metric: its name.
        summary: of the label or the mean.
        gain: of the same from `summary_of_gain`; None if there is none.
        resampled: whether there is an interval wherever there can be one.
    """
    lowest = summary["intervals"]["auc"][0]
    auc = summary["auc"] if lowest is None else lowest
    low, high = gain["intervals"].get(metric, (None, None)) if gain else (None, None)
    ends = None if low is None or high is None else (PERCENT * low, PERCENT * high)
    unknown = resampled and lowest is None
    at_chance = unknown or (auc is not None and auc <= CHANCE)
    return replace(number, at_chance=at_chance, gain=ends)


def _means(summaries: Sequence[dict[str, Any]], metrics: Sequence[str]) -> dict[str, Any]:
    """Means over the seeds where all have a value, with the deviation and without intervals."""
    means: dict[str, Any] = {"spread": {}, "intervals": dict.fromkeys(metrics, (None, None))}
    for metric in metrics:
        values = [summary[metric] for summary in summaries]
        whole = None not in values
        means[metric] = fmean(values) if whole else None
        means["spread"][metric] = _spread(values) if whole else None
    return means


def _spread(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None
