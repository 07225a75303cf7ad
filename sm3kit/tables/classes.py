"""Which values of a column are the classes of a label, and in which order."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from sm3kit.tables.csv_table import as_number

MOST_CLASSES = 30  # More distinct values look like a measurement, not a label.


def are_classes(cells: Sequence[str]) -> bool:
    """Whether the known cells of a column look like a label: few classes, two rows each on average."""
    return 2 <= len(set(cells)) <= min(MOST_CLASSES, len(cells) // 2)


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names in natural order: numbers by value, then words with the numbers in them by value."""
    return tuple(sorted(names, key=_natural))


def _natural(name: str) -> tuple[object, ...]:
    number = as_number(name)
    if not math.isnan(number):
        return (0, number, name)
    parts = re.split(r"(\d+)", name.lower())
    return (
        1,
        [(0, float(part), part) if part.isdecimal() else (1, 0, part) for part in parts],
        name,
    )
