"""One cell of a table, and the column that knows how it is written."""

from __future__ import annotations

from dataclasses import dataclass

NONE, BEST = "–", "*"


@dataclass(frozen=True)
class Number:
    """One measured number, in percent, points or ranks, and what the paper printed for it.

    Args:
        mean: over the seeds.
        spread: deviation over the seeds with n - 1; None for one seed.
        low, high: the ends of the 95 % interval; None if there is none.
        seeds: how many are behind the mean.
        support: what it rests on, such as `75/395`: positive of known cases.
        best: whether no line of the column has a better one, as printed.
        published: as the paper printed it; None if it did not.
        mark: the printed number as text with what is wrong in it.
        comparable: whether data, split and protocol are those of the paper.
    """

    mean: float
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 1
    support: str = ""
    best: bool = False
    published: float | None = None
    mark: str = ""
    comparable: bool = False


@dataclass(frozen=True)
class Column:
    """One column of a section.

    Args:
        metric: such as `auc`, as in the record.
        label: the label, `mean`, or for ranks the direction of the search.
        head: as shown.
        unit: `percent`, `points` of a difference, or `rank`.
        better: `higher`, `lower`, or empty if no line is to be marked.
    """

    metric: str
    label: str
    head: str
    unit: str = "percent"
    better: str = "higher"

    def value(self, number: Number | None) -> str:
        """The mean, such as "80.4"; with a sign if it is a difference."""
        return NONE if number is None else self._shown(number.mean)

    def with_spread(self, number: Number | None) -> str:
        """The mean and the spread, such as "80.4 ± 0.3"."""
        if number is None or number.spread is None:
            return self.value(number)
        return f"{self.value(number)} ± {number.spread:.1f}"

    def interval(self, number: Number | None, between: str = " to ") -> str:
        """The interval, such as "78.1 to 82.6"; nothing if there is none."""
        if number is None or number.low is None or number.high is None:
            return ""
        return f"{self._shown(number.low)}{between}{self._shown(number.high)}"

    def narrow_heads(self) -> list[str]:
        """The heads of `narrow`."""
        if self.unit == "points":
            return ["difference"]
        return [self.metric.replace("_", " ").replace("auc", "AUC"), *self._interval_head()]

    def narrow(self, number: Number | None) -> list[str]:
        """The number as text for a terminal, with a star at the best; the AUC with interval."""
        if self.unit == "points":
            ends = self.interval(number, ", ")
            return [f"{self.value(number)} ({ends})" if ends else self.value(number)]
        star = BEST if number and number.best else ""
        ends = self.interval(number) or NONE
        return [self.with_spread(number) + star, *([ends] if self._interval_head() else [])]

    def rank_of(self, number: Number) -> float:
        """What decides which line is best: the mean as printed, higher is better."""
        shown = round(number.mean, 1)
        return -shown if self.better == "lower" else shown

    def _interval_head(self) -> list[str]:
        return ["95 % interval"] if self.metric == "auc" else []

    def _shown(self, value: float) -> str:
        short = round(value, 1) + 0.0  # No "-0.0".
        return f"{short:+.1f}" if self.unit == "points" else f"{short:.1f}"
