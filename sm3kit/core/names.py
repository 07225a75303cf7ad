"""Answers to names that do not exist; names of pairs, of columns and of files."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Container, Iterable
from itertools import combinations

LONGEST_FILE = 150  # Bytes of a file's name; most systems take 255, and endings come behind.
LONGEST = 80  # Characters of a value that a message repeats.


MOST = 100  # Names that a message lists.
PLUGIN_FILE = "Add --plugin FILE.py to load a plugin from a file."


def quote(value: object) -> str:
    """A value as a message repeats it: as Python writes it, and no longer than half a line."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def list_names(names: Iterable[str]) -> str:
    """Names in a row, the first hundred of very many: "id, split and 9,900 more"."""
    known = list(names)
    more = f" and {len(known) - MOST:,} more" if len(known) > MOST else ""
    return (", ".join(known[:MOST]) or "none") + more


def alternatives(names: Iterable[str]) -> str:
    """Names to choose from: "quick, small or sm3"."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def suggestion(name: str, known: Iterable[str]) -> str:
    """The sentence "Did you mean 'x'?" with a trailing blank, or nothing.

    Of known addresses such as `stage1.lr` and `stage2.lr`, the last word is enough.
    """
    ends: dict[str, list[str]] = {}
    for word in known:
        end = word if "." in name else word.rpartition(".")[2]
        ends.setdefault(end.lower(), []).append(word)
    behind = [end for end in ends if "." in ends[end][0] and name.lower().endswith(f"_{end}")]
    exact = [name.lower()] if name.lower() in ends else []
    near = exact or behind or difflib.get_close_matches(name.lower(), list(ends), n=1, cutoff=0.6)
    if not near:
        return ""
    return f"Did you mean {' or '.join(map(repr, ends[max(near, key=len)]))}? "


def unknown(noun: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is not among the known ones."""
    names = sorted(known)
    return f"No {noun} named {name!r}. {suggestion(name, names)}Known: {list_names(names)}."


def unknown_plugin(noun: str, name: str, known: Iterable[str]) -> str:
    """The message for a plugin that is not among the known ones; it may stand in a file."""
    return f"{unknown(noun, name, known)} {PLUGIN_FILE}"


def pair_names(names: Iterable[str]) -> dict[tuple[str, str], str]:
    """{(one, other): "one-other"} of all pairs; with quotes where two would be called the same."""
    plain = {pair: "-".join(pair) for pair in combinations(names, 2)}
    often = Counter(plain.values())
    return {
        pair: name if often[name] == 1 else "-".join(map(repr, pair))
        for pair, name in plain.items()
    }


def free_name(name: str, taken: Container[str]) -> str:
    """The name, with as many underscores behind it as make it none of the taken ones."""
    while name in taken:
        name += "_"
    return name


def file_stem(name: str, taken: Container[str] = ()) -> str:
    """A file name without its ending that every system takes, whatever letters `name` has.

    Args:
        name: such as "12/a-derm".
        taken: stems of other files, in lower case: many systems see no difference.
    """
    plain = re.sub(r"[^\w.-]+", "-", name).encode()[:LONGEST_FILE].decode(errors="ignore")
    stem, number = plain, 1
    while stem.lower() in taken:
        number += 1
        stem = f"{plain}-{number}"
    return stem
