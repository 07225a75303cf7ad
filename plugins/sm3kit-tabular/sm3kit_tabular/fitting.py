"""Columns fit to the training split: kinds, values, statistics, and what they give away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sm3kit.api import DataError, LabelSpec, OptionError, Row, Study, Table, class_name
from sm3kit_tabular.columns import Category, Column, Number, as_number, number_in

FEW_VALUES = 5  # Up to so many different numbers look like codes.
FEWEST_ROWS = 10  # Fewer rows do not tell an id from metadata.
ROWS_PER_VALUE = 5  # With fewer on average, a column tells any label by chance.
GIVEN_AWAY = 0.9  # Share of a label's entropy from which on a column tells it.
MOST_BINS = 10


def kind_of(table: Table, name: str, asked: str, training: Sequence[Row]) -> str:
    """Whether a column holds a "category" or a "number": as asked, else as its values look.

    Raises:
        OptionError: another kind is asked for.
        DataError: there is no such column, nothing is known in it, or it names the rows.
    """
    if asked not in ("", "category", "number"):
        raise OptionError(
            f"The column {name!r} cannot be of the kind {asked!r}. Write {name}:category or "
            f"{name}:number."
        )
    table.require([name])
    values = [class_name(row[name]) for row in training if row[name]]
    different = set(values)
    if not values:
        raise DataError(f"{table.path}, column {name!r}: no value in the training split.")
    numbers = not np.isnan([as_number(value) for value in different]).any()
    kind = asked or ("number" if numbers and len(different) > FEW_VALUES else "category")
    # Measurements that are no whole numbers may all differ.
    whole = all(value.isdecimal() for value in different)
    alike = (
        2 * len(different) <= len(values) if kind == "category" else len(different) < len(values)
    )
    names_rows = not alike and (kind == "category" or (whole and not asked))
    if names_rows and len(values) >= FEWEST_ROWS:
        remedy = f", or write {name}:number if it is a measurement" if numbers else ""
        raise DataError(
            f"{table.path}, column {name!r} has {len(different)} different values in "
            f"{len(values)} training rows: an id or free text. Leave it out{remedy}."
        )
    return kind


def fit(table: Table, name: str, kind: str, training: Sequence[Row]) -> Column:
    """A column with the values, or the mean and deviation, that the training rows have.

    Raises:
        DataError: a cell is no number, or a value has the sign that parts values.
    """
    if kind == "category":
        values = sorted({class_name(row[name]) for row in training} - {""}, key=_natural)
        if any("|" in value for value in values):
            raise DataError(f"{table.path}, column {name!r}: a value contains '|'. Replace it.")
        return Category(name, tuple(values))
    found = [number_in(table, row, name) for row in training]
    numbers = [number for number in found if number is not None]
    # Rounded, so that the option that a run keeps is short and exact.
    return Number(name, float(f"{np.mean(numbers):.6g}"), float(f"{np.std(numbers):.6g}") or 1.0)


def leaks(
    columns: Sequence[Column], labels: Sequence[LabelSpec], training: Sequence[tuple[Study, Row]]
) -> list[str]:
    """A note on each column that tells a label: nearly all of its entropy in the training split."""
    notes = []
    for column in columns:
        for label in labels:
            cells = [class_name(row[column.name]) for _, row in training]
            classes = [study.labels.get(label.name, -1) for study, _ in training]
            pairs = [(x, y) for x, y in zip(cells, classes, strict=True) if x and y >= 0]
            if not pairs:
                continue
            values = np.array([x for x, _ in pairs])
            if isinstance(column, Number):
                numbers = values.astype(float)
                bins = min(MOST_BINS, max(2, len(pairs) // (2 * ROWS_PER_VALUE)))
                values = np.digitize(numbers, np.quantile(numbers, np.arange(1, bins) / bins))
            if len(pairs) < ROWS_PER_VALUE * len(np.unique(values)):
                continue
            share = explained(values, np.array([y for _, y in pairs]))
            if share >= GIVEN_AWAY:
                notes.append(
                    f"Warning: {column.name} gives the label {label.name} away: it explains "
                    f"{100 * share:.0f} % of it in the training split. Leave it out, unless it is "
                    "known before the label in practice."
                )
    return notes


def explained(values: npt.NDArray[np.generic], classes: npt.NDArray[np.generic]) -> float:
    """The share of the entropy of the classes that the values explain, 0 to 1.

    Mutual information over the entropy of the classes: 1 where each value has one class.
    """
    _, x = np.unique(values, return_inverse=True)
    _, y = np.unique(classes, return_inverse=True)
    counts = np.zeros((x.max() + 1, y.max() + 1))
    np.add.at(counts, (x, y), 1)
    whole = _entropy(counts.sum(0))
    mutual = whole + _entropy(counts.sum(1)) - _entropy(counts.ravel())
    return mutual / whole if whole else 0.0


def _entropy(counts: npt.NDArray[np.float64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _natural(value: str) -> tuple[float, str]:
    """Sorts numbers by size and before words."""
    number = as_number(value)
    return (np.inf if np.isnan(number) else number, value)
