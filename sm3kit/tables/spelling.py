"""One word in several spellings: what two of them differ in, and what is split in two by them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

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


def _without_accents(text: str) -> str:
    """Without the marks on Latin, Greek and Cyrillic letters; those of other scripts are letters."""
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


def quoted(texts: Sequence[str]) -> list[str]:
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
    spellings = defaultdict(list)
    for name in counts:
        spellings[fold(name, OF_NAMES)].append(name)
    sets = [names for names in spellings.values() if len(names) > 1]
    notes = [_note(what, names, counts, kind) for names in sets[:NOTED]]
    if len(sets) > NOTED:
        notes.append(f"{what}: {len(sets) - NOTED} more sets of {kind} differ only so.")
    return notes


def _note(what: str, names: Sequence[str], counts: Mapping[str, int], kind: str) -> str:
    told = [f"{counts[n]} x {quote}" for n, quote in zip(names, quoted(names), strict=True)]
    return (
        f"{what}: {' and '.join(told)} are {len(names)} {kind} that differ only in "
        f"{differences(names, OF_NAMES)}. If they are one, write it one way in the table."
    )
