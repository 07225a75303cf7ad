"""One word in several spellings: what two of them differ in, and classes that are split so."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

# What does not make another word; what comes first is taken away first.
FORM: Mapping[str, Callable[[str], str]] = {
    "spaces": lambda text: "".join(text.split()),
    "Unicode form": lambda text: unicodedata.normalize("NFKC", text),
    "case": str.casefold,
}
# What does not make another id either: 001.jpg, 1.0 and 1.
OF_IDS: Mapping[str, Callable[[str], str]] = {
    **FORM,
    "the suffix": lambda text: re.sub(r"(\.nii)?\.[A-Za-z]\w{0,4}$|\.0+$", "", text),
    "leading zeros": lambda text: re.sub(r"(?<!\d)0+(?=\d)", "", text),
}


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


def spelling_notes(what: str, counts: Mapping[str, int]) -> list[str]:
    """A note on each set of classes that are one but for case, spaces or Unicode form.

    Args:
        what: whose classes they are, as the note says it: "Label DIAG".
        counts: {class: studies that have it}.
    """
    spellings = defaultdict(list)
    for name in counts:
        spellings[fold(name)].append(name)
    notes = []
    for names in spellings.values():
        if len(names) < 2:
            continue
        told = [f"{counts[n]} x {quote}" for n, quote in zip(names, quoted(names), strict=True)]
        notes.append(
            f"{what}: {' and '.join(told)} are {len(names)} classes that differ only in "
            f"{differences(names)}. If they are one, write it one way in the table."
        )
    return notes
