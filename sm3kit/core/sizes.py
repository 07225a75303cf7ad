"""Numbers of bytes as people read them."""

from __future__ import annotations


def in_units(count: float) -> str:
    """Bytes with a unit that leaves few digits: "812 B", "3.4 MiB", "20 GiB"."""
    units = ["B", "KiB", "MiB", "GiB"]
    while round(count) >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    return (
        f"{count:.0f} {units[0]}" if count >= 10 or units[0] == "B" else f"{count:.1f} {units[0]}"
    )
