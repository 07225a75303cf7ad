"""The studies of a data set with their row of a table as one more modality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sm3kit.api import (
    UNKNOWN_WORDS,
    Dataset,
    ModalitySpec,
    OptionError,
    Row,
    Study,
    Table,
    class_name,
    join_notes,
    spelling_notes,
)
from sm3kit_tabular.columns import Category, Column, Number, known_rows, of_kinds
from sm3kit_tabular.fitting import leaks
from sm3kit_tabular.rows import named_row, rows_by

META = "meta"


@dataclass(frozen=True)
class Rows:
    """A table and how a study finds its row.

    Attributes:
        table: the table.
        key: the column that names a row.
        value: gives what stands in it for a study.
    """

    table: Table
    key: str
    value: Callable[[Study], str]

    def of(self, studies: Sequence[Study]) -> tuple[list[tuple[Study, Row]], list[str]]:
        """The studies that have a row, each with it, and notes on the others.

        Raises:
            DataError: no study has a row, or rows of one name contradict each other.
        """
        rows, notes = rows_by(self.table, self.key)
        found = [(study, rows.get(self.value(study))) for study in studies]
        ids = ("studies", map(self.value, studies))
        notes += join_notes(self.table.path, ids, (f"rows of {self.table.path.name}", rows))
        return [(study, row) for study, row in found if row is not None], notes


class WithMetadata(Dataset):
    """A data set with the modality `meta`; where nothing of it is known, it is missing.

    A label that is a column as well is left out: it would be its own input.

    Args:
        inside: the data set.
        rows: the table, and where a study finds its row.
        columns: the columns of the vector.
        asked: the labels that the user names; of those none is left out.
        unknown: words for an unknown value.
        option: how a user sets them, for the note; empty where nobody can.

    Raises:
        OptionError: a column is a label that is asked for, or there is a modality `meta` already.
    """

    def __init__(
        self,
        inside: Dataset,
        rows: Rows,
        columns: Sequence[Column],
        asked: Sequence[str] = (),
        unknown: Sequence[str] = UNKNOWN_WORDS,
        option: str = "",
    ) -> None:
        if META in inside.modalities:
            raise OptionError(f"The data already have a modality {META!r}. Rename its column.")
        names = {column.name.casefold() for column in columns}
        for label in asked:
            if label.casefold() in names:
                raise OptionError(
                    f"{label!r} is both a label and a column of {META}: it would be "
                    "its own input. Remove it from the option labels or columns."
                )
        self.modalities = {**inside.modalities, META: _spec(columns, unknown)}
        self.labels = [one for one in inside.labels if one.name.casefold() not in names]
        inputs = [one.name for one in inside.labels if one not in self.labels]
        table, blanks = known_rows(rows.table, *of_kinds(columns), unknown, option)
        found, unpaired = replace(rows, table=table).of(inside.studies())
        paths = {
            study.id: named_row(table.path, rows.key, row[rows.key])
            for study, row in found
            if any(row[column.name] for column in columns)
        }
        self._studies = [_joined(study, paths, inputs) for study in inside.studies()]
        self.notes = [
            *inside.notes,
            *(note for note in [*blanks, *unpaired] if note not in inside.notes),
            *_notes(columns, inputs, len(self._studies) - len(paths)),
            *_words(columns, [row for _, row in found]),
            *leaks(columns, self.labels, [pair for pair in found if pair[0].split == "train"]),
        ]

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, in the order of the data set inside."""
        return [study for study in self._studies if split in (None, study.split)]


def _spec(columns: Sequence[Column], unknown: Sequence[str]) -> ModalitySpec:
    categories = tuple(column.option for column in columns if isinstance(column, Category))
    numbers = tuple(column.option for column in columns if isinstance(column, Number))
    own = {"unknown": tuple(unknown)} if tuple(unknown) != UNKNOWN_WORDS else {}
    return ModalitySpec("metadata", {"categories": categories, "numbers": numbers, **own})


def _joined(study: Study, paths: dict[str, str], inputs: Sequence[str]) -> Study:
    meta = {META: paths[study.id]} if study.id in paths else {}
    labels = {name: value for name, value in study.labels.items() if name not in inputs}
    return replace(study, images={**study.images, **meta}, labels=labels)


def _notes(columns: Sequence[Column], inputs: Sequence[str], missing: int) -> list[str]:
    size = sum(column.size for column in columns)
    notes = [f"{META} is a vector of {size} values: {'; '.join(map(str, columns))}."]
    if missing:
        notes.append(
            f"Studies without any value in these columns, and so without {META}: {missing}."
        )
    if inputs:
        notes.append(f"Used as inputs, so not as labels: {', '.join(inputs)}.")
    return notes


def _words(columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """Notes on values that have no place in the vector, and on those in several spellings."""
    notes = []
    for column in columns:
        if isinstance(column, Number):
            continue
        counts = Counter(class_name(row[column.name]) for row in rows if row[column.name])
        new = [value for value in counts if value not in column.values]
        if new:
            notes.append(
                f"{column.name}: values that are not in its options, treated as unknown: "
                f"{', '.join(map(repr, new))}; studies: {sum(counts[value] for value in new)}."
            )
        notes += spelling_notes(f"Column {column.name}", counts)
    return notes
