"""Answers to names that do not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggestion(name: str, known: Iterable[str]) -> str:
    """The sentence "Did you mean 'x'?" with a trailing blank, or nothing."""
    lowered = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return f"Did you mean {lowered[near[0]]!r}? " if near else ""


def unknown(noun: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is not among the known ones."""
    names = sorted(known)
    listed = ", ".join(names) if names else "none"
    return f"No {noun} named {name!r}. {suggestion(name, names)}Known: {listed}."
