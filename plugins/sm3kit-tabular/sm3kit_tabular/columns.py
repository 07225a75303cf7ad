"""Columns of a table as numbers: categories one-hot, measurements standardised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sm3kit.api import (
    UNKNOWN_WORDS,
    DataError,
    OptionError,
    Row,
    Table,
    blank_unknown,
    class_name,
)


@dataclass(frozen=True)
class Category:
    """A column of words: one place per value; a value that is not listed leaves all at zero."""

    name: str
    values: tuple[str, ...]

    @property
    def size(self) -> int:
        """The number of places in the vector."""
        return len(self.values)

    @property
    def option(self) -> str:
        """The column as the option `categories` has it."""
        return f"{self.name}:{'|'.join(self.values)}"

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.values)})"

    def encode(self, table: Table, row: Row) -> list[float]:
        """The places of a row."""
        return [float(class_name(row[self.name]) == value) for value in self.values]


@dataclass(frozen=True)
class Number:
    """A column of numbers: one place for the standard score, one that is 1 where it is known."""

    name: str
    mean: float
    deviation: float

    size = 2

    @property
    def option(self) -> str:
        """The column as the option `numbers` has it."""
        return f"{self.name}:{self.mean!r}:{self.deviation!r}"

    def __str__(self) -> str:
        return f"{self.name} (mean {self.mean:g}, deviation {self.deviation:g})"

    def encode(self, table: Table, row: Row) -> list[float]:
        """The places of a row.

        Raises:
            DataError: the cell is neither a number nor unknown.
        """
        value = number_in(table, row, self.name)
        return [0.0, 0.0] if value is None else [(value - self.mean) / self.deviation, 1.0]


Column = Category | Number


def of_kinds(columns: Sequence[Column]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """{column of words: its values}, and the columns of numbers."""
    words = {column.name: column.values for column in columns if isinstance(column, Category)}
    return words, [column.name for column in columns if isinstance(column, Number)]


def known_rows(
    table: Table,
    words: Mapping[str, tuple[str, ...]],
    numbers: Sequence[str],
    unknown: Sequence[str] = UNKNOWN_WORDS,
    option: str = "",
) -> tuple[Table, list[str]]:
    """The table with blanks for what is unknown in some columns, and notes on these.

    Args:
        table: the table.
        words: {column of words: values that are known whatever they are}.
        numbers: columns of numbers, in which every number is known.
        unknown: words for an unknown value.
        option: how a user sets them, for the note.
    """
    table, notes = blank_unknown(table, words, unknown, classes=words, option=option)
    no_numbers = [word for word in unknown if math.isnan(as_number(word))]
    table, more = blank_unknown(table, numbers, no_numbers, option=option)
    return table, [*notes, *more]


def as_number(cell: str) -> float:
    """The finite number that a cell is, else NaN."""
    try:
        number = float(cell)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def number_in(table: Table, row: Row, name: str) -> float | None:
    """The number in a cell, None if it is blank.

    Raises:
        DataError: something else is in it.
    """
    if not row[name]:
        return None
    number = as_number(row[name])
    if math.isnan(number):
        raise DataError(
            f"{table.place(row, name)}: {row[name]!r} is not a number. Correct it, or leave it "
            "blank."
        )
    return number


def category(text: str) -> Category:
    """The column in an entry of the option `categories`.

    Raises:
        OptionError: it is no such entry.
    """
    name, _, values = text.partition(":")
    found = tuple(value.strip() for value in values.split("|"))
    if not name.strip() or not all(found) or len(set(found)) < len(found):
        raise OptionError(
            "The modality 'metadata': option 'categories' must be COLUMN:VALUE|VALUE with "
            f"different values, not {text!r}."
        )
    return Category(name.strip(), found)


def number(text: str) -> Number:
    """The column in an entry of the option `numbers`.

    Raises:
        OptionError: it is no such entry.
    """
    name, mean, deviation = (*text.split(":"), "", "")[:3]
    one = Number(name.strip(), as_number(mean), as_number(deviation))
    if text.count(":") != 2 or not name.strip() or math.isnan(one.mean) or not one.deviation > 0:
        raise OptionError(
            "The modality 'metadata': option 'numbers' must be COLUMN:MEAN:DEVIATION with a "
            f"deviation above 0, not {text!r}."
        )
    return one
