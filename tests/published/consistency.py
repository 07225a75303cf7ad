"""Finds what cannot be in a published table, from nothing but its numbers and class counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, floor
from statistics import fmean

from sm3kit.published.rows import MEAN, Label, PaperNumber, PaperRow, Published

ROUNDING = 0.05
# A column may be off by its rounding, so may the mean of eight, and so may the printed mean.
MEAN_SLACK = 2 * ROUNDING
TINY = 1e-9


@dataclass(frozen=True)
class Finding:
    """A number that cannot be right.

    Args:
        table: the table.
        row: the row.
        metric: the metric.
        label: the label, or `mean`.
        rule: what it breaks, one of `RULES`.
        expected: what the other numbers say it is; None if they do not.
    """

    table: str
    row: str
    metric: str
    label: str
    rule: str
    expected: float | None


def check(tables: Published) -> list[Finding]:
    """Everything that does not add up in the printed numbers of all tables.

    The true and false answers behind sensitivity, specificity and precision are whole numbers,
    and with the class counts of the split any two of the three fix the third. Only cells that
    the data hold are checked.
    """
    rows = [row for table in tables.tables.values() for row in table.rows.values()]
    return [finding for row in rows for finding in (*means(row), *answers(row, tables.labels))]


def means(row: PaperRow) -> Iterator[Finding]:
    """Means that are not the mean of the columns of their row, as far as these are known."""
    for metric, cells in row.cells.items():
        columns = [cell for label, cell in cells.items() if label != MEAN]
        for rule, expected in (
            ("row mean", printed_mean(cells[MEAN], columns)),
            ("corrected columns", corrected_mean(cells[MEAN], columns)),
        ):
            printed = cells[MEAN].printed
            if printed is None or expected is None:
                continue
            if abs(printed - expected) > MEAN_SLACK:
                yield Finding(row.table, row.name, metric, MEAN, rule, expected)


def printed_mean(mean: PaperNumber, columns: list[PaperNumber]) -> float | None:
    """The mean of the printed columns; None if one of them is not known."""
    if mean.row_mean is not None:
        return mean.row_mean
    known = [cell.printed for cell in columns if cell.printed is not None]
    return fmean(known) if len(known) == len(columns) else None


def corrected_mean(mean: PaperNumber, columns: list[PaperNumber]) -> float | None:
    """The mean with all corrections; None if there are none or too little is known."""
    corrected = [cell for cell in columns if cell.corrected is not None]
    values = [cell.value for cell in columns if cell.value is not None]
    if not corrected:
        return None
    if len(values) == len(columns):
        return fmean(values)
    if mean.printed is None:
        return None
    moved = sum(
        cell.corrected - cell.printed
        for cell in corrected
        if cell.printed is not None and cell.corrected is not None
    )
    return mean.printed + moved / len(columns)


def answers(row: PaperRow, labels: Mapping[str, Label]) -> Iterator[Finding]:
    """Sensitivities, specificities and precisions that no whole numbers of studies make."""
    if "sens" not in row.cells:
        return
    for name, label in labels.items():
        found = explained(
            row.cell("sens", name).printed,
            row.cell("spec", name).printed,
            row.cell("prec", name).printed,
            label.positives(row.split),
            label.negatives(row.split),
        )
        for metric, (rule, expected) in found.items():
            yield Finding(row.table, row.name, metric, name, rule, expected)


def explained(
    sensitivity: float | None,
    specificity: float | None,
    precision: float | None,
    positives: int,
    negatives: int,
) -> dict[str, tuple[str, float | None]]:
    """{metric: (rule, expected)} of what is wrong with the three metrics of one label.

    If all three are known and do not fit, two readings that do are tried first: that they were
    counted for the other class, and that sensitivity and precision have changed places while
    the negative predictive value stands for the specificity.

    Args:
        sensitivity: in percent, rounded to one decimal or finer; None if it is not known.
        specificity: the same.
        precision: the same.
        positives: studies of the reported class.
        negatives: all other studies.
    """
    if sensitivity is not None and specificity is not None and precision is not None:
        three = sensitivity, specificity, precision
        if fitting(*three, positives, negatives):
            return {}
        for rule, true in (
            ("absent class", other_class(*three, positives, negatives)),
            ("swapped", swapped(*three, positives, negatives)),
        ):
            if true:
                return {metric: (rule, number) for metric, number in true.items()}
    found: dict[str, tuple[str, float | None]] = {}
    if sensitivity is not None and not whole(sensitivity, positives):
        found["sens"] = "no whole number", None
    if specificity is not None and not whole(specificity, negatives):
        found["spec"] = "no whole number", None
    if sensitivity is not None and specificity is not None and precision is not None:
        least, follows, most = (
            share(
                (sensitivity + off) * positives / 100, (100 - specificity - off) * negatives / 100
            )
            for off in (-ROUNDING, 0, ROUNDING)
        )
        if not least - ROUNDING <= precision <= most + ROUNDING:
            found["prec"] = "precision", follows
    return found


def fitting(
    sensitivity: float, specificity: float, precision: float, positives: int, negatives: int
) -> tuple[int, int] | None:
    """True and false positives that make the three metrics; None if there are none."""
    for true in whole(sensitivity, positives):
        for false in (negatives - right for right in whole(specificity, negatives)):
            if close(share(true, false), precision):
                return true, false
    return None


def other_class(
    sensitivity: float, specificity: float, precision: float, positives: int, negatives: int
) -> dict[str, float]:
    """The metrics of the reported class, if those given are of the other one; else nothing."""
    counts = fitting(sensitivity, specificity, precision, negatives, positives)
    if counts is None:
        return {}
    right, missed = counts
    return metrics_of(positives - missed, negatives - right, positives, negatives)


def swapped(
    sensitivity: float, specificity: float, precision: float, positives: int, negatives: int
) -> dict[str, float]:
    """The true metrics, if those given are precision, NPV and sensitivity; else nothing."""
    for true in whole(precision, positives):
        for false in range(negatives + 1):
            right = negatives - false
            if close(share(true, false), sensitivity) and close(
                share(right, positives - true), specificity
            ):
                return metrics_of(true, false, positives, negatives)
    return {}


def metrics_of(true: int, false: int, positives: int, negatives: int) -> dict[str, float]:
    """The three metrics, in percent, of true and false positives."""
    return {
        "sens": 100 * true / positives,
        "spec": 100 * (negatives - false) / negatives,
        "prec": share(true, false),
    }


def share(true: float, false: float) -> float:
    """The percentage of true among true and false; 0 if there are neither, as in the paper."""
    return 100 * true / (true + false) if true + false > TINY else 0.0


def whole(percent: float, total: int) -> range:
    """The whole numbers that are this percentage of a total, but for rounding."""
    least = ceil((percent - ROUNDING) * total / 100 - TINY)
    most = floor((percent + ROUNDING) * total / 100 + TINY)
    return range(max(least, 0), min(most, total) + 1)


def close(one: float, other: float) -> bool:
    """Whether two percentages are the same, but for rounding."""
    return abs(one - other) <= ROUNDING + TINY
