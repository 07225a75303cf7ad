"""Tables of weak labels: a column `id`, and columns `LABEL:CLASS` with scores, a row per study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from sm3kit.core.errors import DataError
from sm3kit.core.names import list_names, suggestion
from sm3kit.data.cases import Case
from sm3kit.data.pool import Pool, case_id
from sm3kit.datasets.base import LabelSpec, WeakScores
from sm3kit.tables.csv_table import Row, Table, as_number, read_table
from sm3kit.tables.joining import join_notes, one_per_key
from sm3kit.tables.spelling import blank_unknown

CONTENT = "a column id, and columns LABEL:CLASS with scores"
CALLED = ":called"  # Of predictions with thresholds: the classes that reach theirs.
LARGEST = 1e6  # Of a score; softmax tells no difference between larger ones.


def read_weak_table(
    file: Path, pool: Pool, cases: Sequence[Case]
) -> tuple[dict[str, WeakScores], list[str]]:
    """Scores from a table, by the names that studies have in the pool, and notes.

    Rows of studies that are not among the cases are not looked into.

    Args:
        file: the table; `sm3kit predict --csv` writes such tables, too.
        pool: all studies, and their labels.
        cases: whose scores are taken.

    Raises:
        DataError: it is no such table, or something in it is missing or wrong.
    """
    table = read_table(file, CONTENT)
    table.require(["id"], f"It should hold {CONTENT}.")
    columns, notes = _columns(table, pool.labels)
    for name in dict.fromkeys(label for label, _ in columns.values()):
        spec = next(label for label in pool.labels if label.name == name)
        headings = [column for column, (label, _) in columns.items() if label == name]
        if len(spec.classes) > 2 and len(headings) < 2:
            raise DataError(
                f"{file} has scores for one class of {name} alone, {headings[0]!r}, and softmax compares "
                f"classes. Add a column for others of {list_names(spec.classes)}."
            )
    rows, more = _rows(table, pool, cases)
    kept, said = blank_unknown(Table(table.path, table.columns, tuple(rows)), columns)
    scores = {
        spec.name: WeakScores(spec.classes, _scores_of(spec, kept, columns))
        for spec in pool.labels
        if any(label == spec.name for label, _ in columns.values())
    }
    for name, own in scores.items():
        if not own.scores:
            raise DataError(
                f"{file} has no score for {name} in any row of the split train. Leave its columns "
                "out, or fill them."
            )
    return scores, [*notes, *more, *said]


def _columns(
    table: Table, labels: Sequence[LabelSpec]
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """{heading: (label, class)}, and a note on the other columns."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    for label in labels:
        for name in label.classes:
            pairs.setdefault(f"{label.name}:{name}".casefold(), []).append((label.name, name))
    columns, others = {}, []
    for heading in table.columns:
        fitting = pairs.get(heading.casefold(), [])
        if len(fitting) > 1:
            raise DataError(
                f"{table.path}, column {heading!r} may mean the class {fitting[0][1]!r} of "
                f"{fitting[0][0]!r}, or {fitting[1][1]!r} of {fitting[1][0]!r}. Rename one."
            )
        if fitting:
            columns[heading] = fitting[0]
        elif ":" in heading and not heading.casefold().endswith(CALLED):
            raise _unknown_column(table, heading, labels)
        elif heading.casefold() != "id":
            others.append(heading)
    if not columns:
        label = labels[0] if labels else LabelSpec("DIAG", ("MEL",))
        raise DataError(
            f"{table.path} has no column LABEL:CLASS, such as '{label.name}:{label.classes[-1]}'. "
            f"Its columns: {list_names(table.columns)}."
        )
    left = f"Not used of {table.path.name}, as they are no scores: {list_names(others)}."
    return columns, [left] if others else []


def _unknown_column(table: Table, heading: str, labels: Sequence[LabelSpec]) -> DataError:
    """The error for a heading that looks like a class and is none."""
    # Names may hold colons: the longest label that fits is meant.
    fitting = [
        label for label in labels if heading.casefold().startswith(f"{label.name}:".casefold())
    ]
    where = f"{table.path}, column {heading!r}"
    if fitting:
        label = max(fitting, key=lambda label: len(label.name))
        name = heading[len(label.name) + 1 :]
        return DataError(
            f"{where}: {label.name} has no class {name!r}. {suggestion(name, label.classes)}"
            f"Its classes: {list_names(label.classes)}."
        )
    names = [label.name for label in labels]
    name = heading.rpartition(":")[0]
    return DataError(
        f"{where}: the data have no label {name!r}. {suggestion(name, names)}"
        f"Their labels: {list_names(names)}."
    )


def _rows(table: Table, pool: Pool, cases: Sequence[Case]) -> tuple[list[Row], list[str]]:
    """The rows of the cases, each of them once, and notes on the others."""
    wanted = {case_id(pool, case) for case in cases}
    held_out = {case_id(pool, case) for case in pool.of(["train", "val", "test"])} - wanted
    rows = [row for row in table.rows if row["id"] not in held_out]
    ignored = len(table.rows) - len(rows)
    if ignored and not rows:
        raise DataError(
            f"{table.path} has no row of a study of the split train, and weak labels of others are "
            "never read."
        )
    known, notes = one_per_key(
        ((row["id"], row, table, row) for row in rows), "id", "Keep one row per study."
    )
    name = table.path.name
    if ignored:
        notes.append(f"Rows of {name} that are not of the split train, and not read: {ignored}.")
    ids, others = (f"rows of {name}", known), ("studies of the split train", sorted(wanted))
    notes += join_notes(table.path, ids, others, "they are not used")
    notes += join_notes(table.path, others, ids, "they have no weak labels")
    return [row for key, row in known.items() if key in wanted], notes


def _scores_of(
    spec: LabelSpec, table: Table, columns: Mapping[str, tuple[str, str]]
) -> dict[str, list[float]]:
    """{study: a score per class} of one label, of the rows that have any.

    Where one of two classes has a column, the other class has the score 0.
    """
    own = {name: column for column, (label, name) in columns.items() if label == spec.name}
    scores = {}
    for row in table.rows:
        known = {name: _score(table, row, column) for name, column in own.items()}
        if all(map(math.isnan, known.values())):
            continue
        lacking = 0.0 if len(spec.classes) == 2 and len(own) == 1 else math.nan
        scores[row["id"]] = [known.get(name, lacking) for name in spec.classes]
    return scores


def _score(table: Table, row: Row, column: str) -> float:
    """The score in a cell; NaN where it is blank."""
    if not row[column]:
        return math.nan
    score = as_number(row[column])
    if not abs(score) <= LARGEST:
        raise DataError(
            f"{table.place(row, column)}: {row[column]!r} is no number from -1e6 to 1e6. Write a "
            "score, such as 0.7, or leave the cell blank."
        )
    return score
