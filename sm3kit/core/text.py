"""Text as people read it: lines that fit a terminal, numbers of bytes, lengths of time."""

from __future__ import annotations

import re
import textwrap

CLOCK = re.compile(r"(?:(\d{1,4})[:-])?(\d{1,4}):([0-5]\d):([0-5]\d)")
AMOUNT = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
HEAD = 9  # Columns of the word that says what a line is about.


def fold_lines(text: str, width: int) -> str:
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


def in_units(count: float) -> str:
    """Bytes with a unit that leaves few digits: "812 B", "3.4 MiB", "20 GiB"."""
    units = ["B", "KiB", "MiB", "GiB"]
    while round(count) >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    return (
        f"{count:.0f} {units[0]}" if count >= 10 or units[0] == "B" else f"{count:.1f} {units[0]}"
    )


def duration(seconds: float) -> str:
    """Seconds as people say them: "40 s", "12 min", "3 h 20 min", "5 days"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{round(minutes / 1440)} days"


def seconds_of(text: str) -> float:
    """The seconds of a length of time as people write it.

    Args:
        text: HH:MM:SS, with the days before it as DD:HH:MM:SS or as Slurm's D-HH:MM:SS; or a
            number with its unit, such as 90m, 36h or 2d.

    Raises:
        ValueError: it is none, or no time at all.
    """
    clock, amount = CLOCK.fullmatch(text), AMOUNT.fullmatch(text)
    seconds = 0.0
    if clock:
        days, hours, minutes, rest = (int(part or 0) for part in clock.groups())
        seconds = 86_400 * days + 3600 * hours + 60 * minutes + rest
    elif amount:
        seconds = float(amount[1]) * SECONDS[amount[2]]
    if not seconds:
        raise ValueError(text)
    return seconds
