"""What makes a grid another than the one that a folder was begun with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]
# How to compute or to watch, not what.
HARMLESS = ("workers", "monitor_every")


def contradictions(before: Record, after: Record) -> list[str]:
    """What changed between two records of a grid and may not; rows and protocols may be added.

    Returns:
        A clause for each change; empty if the grid can go on.
    """
    found = [
        f"its {what} was {before[name]}, not {after[name]}"
        for name, what in (("sm3kit", "sm3kit"), ("split", "split"), ("select", "selection"))
        if before[name] != after[name]
    ]
    found += _of_data(before, after)
    for name, row in before["rows"].items():
        new = after["rows"].get(name)
        if new is None:
            found.append(f"row {name!r} is not in it any more")
            continue
        gone = [one for one in row["protocols"] if one not in new["protocols"]]
        found += [f"row {name!r} had the protocol {one}" for one in gone]
        old, now = _flat(row["settings"]), _flat(new["settings"])
        found += [
            f"row {name!r}: {key} was {_shown(old, key)}, not {_shown(now, key)}"
            for key in dict.fromkeys([*old, *now])
            if old.get(key) != now.get(key) and key not in HARMLESS
        ]
    return found


def _of_data(before: Record, after: Record) -> list[str]:
    """A clause for each data set that lists other studies than it did."""
    found = []
    for name, row in before["rows"].items():
        new = after["rows"].get(name)
        if new is None or new["listing"] == row["listing"]:
            continue
        old, now = _listing(before, row["listing"]), _listing(after, new["listing"])
        said = f"the data were {_studies(old)}, and are {_studies(now)}"
        if _counts(old) == _counts(now):
            said += ": ids, files, labels or splits differ"
        found.append(said)
    return list(dict.fromkeys(found))


def _listing(record: Record, key: str) -> Record:
    found: Record = next(one for one in record["listings"] if one["hash"] == key)
    return found


def _studies(one: Record) -> str:
    counts = ", ".join(f"{split} {count}" for split, count in one["studies"].items())
    return f"{' + '.join(one['data'])} with {counts} studies (listing {one['hash']})"


def _counts(one: Record) -> tuple[Any, Any]:
    return one["data"], one["studies"]


def _flat(settings: Record, above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= (
            _flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {above + name: value}
        )
    return flat


def _shown(settings: Record, key: str) -> str:
    return repr(settings[key]) if key in settings else "not set"
