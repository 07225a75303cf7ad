"""Lines that are too long for a terminal, folded between words."""

from __future__ import annotations

import textwrap

HEAD = 9  # Columns of the word that says what a line is about.


def folded(text: str, width: int) -> str:
    """The text in lines of at most `width` columns, the later ones set in; long words stay whole.

    A path is a word: the terminal may break it, but what is copied is one piece.
    """
    lines = [
        textwrap.fill(
            line,
            width,
            subsequent_indent=" " * HEAD,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.splitlines()
    ]
    return "\n".join(lines)
