"""Where tables and folders meet: one row per id, ids without a partner, files that are no data."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from sm3kit.core.errors import DataError
from sm3kit.tables.csv_table import Row, Table
from sm3kit.tables.spelling import OF_IDS, differences, fold, quote_all

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
H = TypeVar("H", bound=Hashable)
NAMED = 3  # Ids that a note names.


def one_per_key(
    entries: Iterable[tuple[K, V, Table, Row]], column: str, remedy: str
) -> tuple[dict[K, V], list[str]]:
    """{key: value}, and a note on rows that say again what another row of their table says.

    Args:
        entries: the key and value of each row, its table and the row; the value may be the row
            itself, whose cells are then compared.
        column: the column of the key.
        remedy: what to do about a blank key, or two rows that contradict each other.

    Raises:
        DataError: a key is blank or has several values; the message names both rows.
    """
    values: dict[K, V] = {}
    places: dict[K, tuple[Table, Row]] = {}
    repeats = []
    for key, value, table, row in entries:
        if not row[column]:
            raise DataError(f"{table.place(row, column)}: blank. {remedy}")
        if key not in values:
            values[key], places[key] = value, (table, row)
            continue
        other, first = places[key]
        if values[key] != value:
            where = "" if other is table else f"{other.path}, "
            raise DataError(
                f"{table.place(row, column)}: {row[column]!r} is also in {where}row "
                f"{first.number}, with other values. {remedy}"
            )
        if other is table:
            repeats.append(f"row {row.number} of {table.path.name} (as row {first.number})")
    if not repeats:
        return values, []
    said = "row repeats another and counts" if len(repeats) == 1 else "rows repeat others and count"
    return values, [f"{len(repeats)} {said} once: {first_few(repeats)}."]


def one_value(entries: Iterable[tuple[K, H]]) -> tuple[dict[K, H], list[K]]:
    """{key: value} of the keys whose entries all say the same, and the keys that have several."""
    values: dict[K, set[H]] = {}
    for key, value in entries:
        values.setdefault(key, set()).add(value)
    single = {key: next(iter(said)) for key, said in values.items() if len(said) == 1}
    return single, [key for key in values if key not in single]


def join_notes(
    where: Path, ids: tuple[str, Iterable[str]], others: tuple[str, Iterable[str]], so: str = ""
) -> list[str]:
    """A note on the ids of one side of a join that the other side does not have.

    Args:
        where: the folder or table that the data set was given, for the message.
        ids: what they are the ids of, "rows of labels.csv", and they themselves.
        others: the same of the other side.
        so: what that means for those without a partner: "labels are unknown".

    Raises:
        DataError: no id has a partner; the message shows one of each side, and says what keeps
            them apart if it is little.
    """
    (what, left), (whose, right) = ids, others
    own, theirs = dict.fromkeys(left), dict.fromkeys(right)
    alone = [name for name in own if name not in theirs]
    if not alone:
        return []
    near = near_miss(alone, [other for other in theirs if other not in own])
    if len(alone) == len(own):
        told = (
            f"the first are {alone[0]!r} and {next(iter(theirs))!r}" if theirs else "none is there"
        )
        raise DataError(
            f"{where}: none of the {what} matches any of the {whose}: {near or told}. "
            "Write the ids the same way on both sides."
        )
    verb, result = "has" if len(alone) == 1 else "have", f", so {so}" if so else ""
    note = f"{len(alone)} of {len(own)} {what} {verb} no match among the {whose}{result}: "
    note += f"{first_few(map(repr, alone))}."
    return [f"{note} {near}." if near else note]


def near_miss(ids: Iterable[str], others: Iterable[str]) -> str:
    """What little keeps one of the ids from being one of the others; nothing if there is no such.

    Suffixes, leading zeros, case, spaces and the form of Unicode are little.
    """
    return _near_pair(ids, {fold(other, OF_IDS): other for other in others})


def _near_pair(ids: Iterable[str], folded: Mapping[str, str]) -> str:
    for own in ids:
        other = folded.get(fold(own, OF_IDS), own)
        if other != own:
            first, second = quote_all([own, other])
            return f"{first} and {second} differ only in {differences([own, other], OF_IDS)}"
    return ""


def near_path(path: Path) -> str:
    """What little keeps a path that is not there from one that is; nothing if there is no such."""
    try:
        while not path.parent.is_dir() and path.parent != path:
            path = path.parent
        names = _names_in(path.parent, path.parent.stat().st_mtime_ns)
    except (OSError, ValueError):  # A folder that may not be listed tells nothing.
        return ""
    return _near_pair([path.name], names)


@lru_cache(maxsize=16)
def _names_in(folder: Path, changed: int) -> dict[str, str]:
    """{folded name: name} of what is in a folder; listed once for all files that it lacks."""
    return {fold(path.name, OF_IDS): path.name for path in visible_paths(folder)}


def first_few(names: Iterable[str]) -> str:
    """The first names of a list, and how many there are beside them."""
    listed = list(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more


def visible_paths(folder: Path, pattern: str = "*") -> list[Path]:
    """The paths below a folder that fit a pattern, sorted; none that is hidden, or lies in what is.

    Args:
        folder: where to look; it may be hidden itself, or not be there.
        pattern: as `Path.glob` takes it: `*/ct.nii.gz`, `**/*.dcm`.
    """
    paths = sorted(folder.glob(pattern))
    return [path for path in paths if not _hidden(path.relative_to(folder))]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") and part != ".." for part in path.parts)
