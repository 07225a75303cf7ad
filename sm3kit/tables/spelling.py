"""Words in several spellings: what two of them differ in, and which of them say "unknown"."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from types import MappingProxyType

from sm3kit.tables.csv_table import Row, Table, class_name

NOTED = 3  # Sets of names that are named.

# What does not make another word; what comes first is taken away first.
FORM: Mapping[str, Callable[[str], str]] = {
    "spaces": lambda text: "".join(text.split()),
    "Unicode form": lambda text: unicodedata.normalize("NFKC", text),
    "case": str.casefold,
}
# What may make another word, but seldom is meant to: people who write a name leave accents out.
OF_NAMES: Mapping[str, Callable[[str], str]] = {
    **FORM,
    "accents": lambda text: unicodedata.normalize("NFC", _without_accents(text)),
}
# What does not make another id either: 001.jpg, 1.0 and 1.
OF_IDS: Mapping[str, Callable[[str], str]] = {
    **FORM,
    "the suffix": lambda text: re.sub(r"(\.nii)?\.[A-Za-z]\w{0,4}$|\.0+$", "", text),
    "leading zeros": lambda text: re.sub(r"(?<!\d)0+(?=\d)", "", text),
}
# Case and spaces do not matter, and a blank is unknown without being named.
UNKNOWN_WORDS = (
    *("-1", "?", "-", ".", "NA", "N/A", "#N/A", "<NA>", "NaN"),
    *("None", "null", "missing", "unknown", "unk"),
    # What spreadsheets write where a formula failed.
    *("#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!"),
)
NO_CLASSES: Mapping[str, Container[str]] = MappingProxyType({})


def _without_accents(text: str) -> str:
    """Without the marks on Latin, Greek and Cyrillic letters; those of other scripts are letters."""
    if text.isascii():
        return text
    return re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", text))


def fold(text: str, kinds: Mapping[str, Callable[[str], str]] = FORM) -> str:
    """The text without what its spellings may differ in."""
    for plain in kinds.values():
        text = plain(text)
    return text


def differences(texts: Sequence[str], kinds: Mapping[str, Callable[[str], str]] = FORM) -> str:
    """What texts that fold alike differ in: "case", "spaces and case"."""
    for count in range(1, len(kinds)):
        for names in combinations(kinds, count):
            some = {name: kinds[name] for name in names}
            if len({fold(text, some) for text in texts}) == 1:
                return " and ".join(names)
    return " and ".join(kinds)


def quote_all(texts: Sequence[str]) -> list[str]:
    """The texts in quotation marks; those that would look alike are written in ASCII."""
    alike = len({unicodedata.normalize("NFC", text) for text in texts}) < len(texts)
    return [ascii(text) if alike else repr(text) for text in texts]


def spelling_notes(what: str, counts: Mapping[str, int], kind: str = "classes") -> list[str]:
    """A note on each set of names that are one but for case, spaces, accents or Unicode form.

    Of more than three sets, the last note says how many there are.

    Args:
        what: whose names they are, as the note says it: "Label DIAG".
        counts: {name: studies that have it}.
        kind: what the names are.
    """
    sets = spelled_alike(counts)
    notes = [_note(what, names, counts, kind) for names in sets[:NOTED]]
    if len(sets) > NOTED:
        notes.append(f"{what}: {len(sets) - NOTED} more sets of {kind} differ only in this way.")
    return notes


def spelled_alike(names: Iterable[str]) -> list[list[str]]:
    """The sets of different names that are one but for case, spaces, accents or Unicode form."""
    spellings = defaultdict(list)
    for name in names:
        spellings[fold(name, OF_NAMES)].append(name)
    return [alike for alike in spellings.values() if len(alike) > 1]


def _note(what: str, names: Sequence[str], counts: Mapping[str, int], kind: str) -> str:
    told = [f"{counts[n]} x {quote}" for n, quote in zip(names, quote_all(names), strict=True)]
    return (
        f"{what}: {' and '.join(told)} are {len(names)} {kind} that differ only in "
        f"{differences(names, OF_NAMES)}. If they mean the same, write them the same way in the "
        "table."
    )


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
    folded = frozenset(fold(word) for word in words)
    longest = max(map(len, folded), default=0)
    watched = []
    for column in columns:
        if column in table:
            known = classes.get(column, ())
            # Tables repeat their words: each is looked at once.
            different = set(table.column(column))
            found = {cell for cell in different if _is_unknown(cell, folded, longest, known)}
            watched += [(column, column.casefold(), found)] if found else []
    if not watched:
        return table, []
    counts: Counter[str] = Counter()
    places, rows = [], []
    for row in table.rows:
        cells = row.cells
        blank = [(column, key) for column, key, found in watched if cells[key] in found]
        counts.update(cells[key] for _, key in blank)
        places += [column for column, _ in blank]
        emptied = dict.fromkeys((key for _, key in blank), "")
        rows.append(Row(row.number, {**cells, **emptied}) if blank else row)
    note = f"Treated as unknown in {table.path.name}, {', '.join(dict.fromkeys(places))}: "
    note += f"{word_counts(counts)}."
    note += f" Other words are set with -o {option}=WORD,..." if option else ""
    return replace(table, rows=tuple(rows)), [note]


def _is_unknown(cell: str, folded: Container[str], longest: int, classes: Container[str]) -> bool:
    name = class_name(cell)
    # Most cells of a large table are paths, which are too long whatever their case.
    if not name or (len(name) > longest and name.isascii() and len(name.split()) == 1):
        return False
    return fold(name) in folded and name not in classes


def word_counts(counts: Mapping[str, int]) -> str:
    """Words with how often each stands, most frequent first: 12 x 'NA', 3 x '?'."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count} x {word!r}" for word, count in ordered)
