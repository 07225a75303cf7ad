"""Words that people and programs write where a value is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

from sm3kit.tables.csv_table import Row, Table, class_name
from sm3kit.tables.spelling import fold

# Case and spaces do not matter, and a blank is unknown without being named.
UNKNOWN_WORDS = (
    *("-1", "?", "-", ".", "NA", "N/A", "#N/A", "<NA>", "NaN"),
    *("None", "null", "missing", "unknown", "unk"),
    # What spreadsheets write where a formula failed.
    *("#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!"),
)
_fold = lru_cache(maxsize=4096)(fold)  # Tables repeat their words.
NO_CLASSES: Mapping[str, Container[str]] = MappingProxyType({})


def blank_unknown(
    table: Table,
    columns: Iterable[str],
    words: Sequence[str] = UNKNOWN_WORDS,
    *,
    classes: Mapping[str, Container[str]] = NO_CLASSES,
    option: str = "",
) -> tuple[Table, list[str]]:
    """The table with blanks in place of words for "unknown", and a note that counts them.

    Args:
        table: the table.
        columns: where to look; columns that the table does not have are passed over.
        words: the words for "unknown".
        classes: {column: words that are classes of it}, which are never unknown there.
        option: how a user sets the words, for the note: "manifest.unknown".
    """
    folded = {_fold(word) for word in words}
    named = [column for column in columns if column in table]
    counts: Counter[str] = Counter()
    places, rows = [], []
    for row in table.rows:
        blank = {}
        for column in named:
            name = class_name(row[column])
            if name and _fold(name) in folded and name not in classes.get(column, ()):
                blank[column.casefold()] = ""
                counts[row[column]] += 1
                places.append(column)
        rows.append(Row(row.number, {**row.cells, **blank}) if blank else row)
    if not counts:
        return table, []
    note = f"Taken as unknown in {table.path.name}, {', '.join(dict.fromkeys(places))}: "
    note += f"{word_counts(counts)}."
    note += f" Other words are set with -o {option}=WORD,..." if option else ""
    return replace(table, rows=tuple(rows)), [note]


def word_counts(counts: Mapping[str, int]) -> str:
    """Words with how often each stands, most frequent first: 12 x 'NA', 3 x '?'."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count} x {word!r}" for word, count in ordered)
