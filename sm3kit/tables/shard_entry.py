"""What lies in a tar shard: its studies, their images, and what is known of their data set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sm3kit.core.errors import DataError
from sm3kit.tables.classes import class_order
from sm3kit.tables.csv_table import class_name
from sm3kit.tables.splits import SPLIT_WORDS

FORMAT = 1
FACTS = "__sm3kit__/data.json"  # The first member; webdataset passes over such a name.
FACTS_SHAPE = {
    "format": int,
    "modalities": {"*": {"plugin": str, "options": dict, "frame": str}},
    "labels": [{"name": str, "classes": [str], "reported": str}],
    "weak": {"*": {"classes": [str], "makes_label": bool}},
    "notes": [str],
}
VALUE = (str, int, float, bool, type(None))
# What the JSON file of a study may hold; another key is left alone.
STUDY_SHAPE = {
    "id?": (str, int),
    "group?": (str, int, type(None)),
    "split?": (str, type(None)),
    "labels?": {"*": VALUE},
    "images?": {"*": [str]},
    "weak?": {"*": [(int, float, type(None))]},
}


@dataclass(frozen=True)
class Entry:
    """One study of a shard.

    Attributes:
        place: where its JSON file is, for messages.
        key: the name of its members up to their first dot.
        facts: id, group, split, labels and weak scores, as its JSON file has them.
        images: {modality: paths of members}.
    """

    place: str
    key: str
    facts: Mapping[str, Any]
    images: Mapping[str, tuple[str, ...]]

    @property
    def id(self) -> str:
        """Its id, or else its key."""
        return str(self.facts.get("id", self.key))

    @property
    def group(self) -> str:
        """What must stay in one split with it: its group, or else its id."""
        group = self.facts.get("group")
        return self.id if group in (None, "") else str(group)

    @property
    def labels(self) -> dict[str, str]:
        """{label: class} of what is known of it."""
        values = {}
        for label, value in self.facts.get("labels", {}).items():
            if value not in (None, "") and value == value:  # NaN is what pandas writes for nothing.
                values[label] = value if isinstance(value, str) else class_name(str(value))
        return values

    @property
    def split(self) -> str:
        """train, val or test; nothing if it has none.

        Raises:
            DataError: it has another.
        """
        split = self.facts.get("split") or ""
        if split and split.lower() not in SPLIT_WORDS:
            raise DataError(f"{self.place}: the split {split!r} is not train, val or test.")
        return SPLIT_WORDS[split.lower()] if split else ""

    def weak(self, label: str, classes: Sequence[str]) -> tuple[float, ...] | None:
        """Its weak scores of a label, NaN where unknown; None if it has none.

        Raises:
            DataError: there are more or fewer than classes.
        """
        row = self.facts.get("weak", {}).get(label)
        if row is not None and len(row) != len(classes):
            raise DataError(
                f"{self.place}: {len(row)} weak scores of {label!r}, which has {len(classes)} "
                "classes. Pack the shard anew."
            )
        return None if row is None else tuple(math.nan if x is None else float(x) for x in row)


@dataclass(frozen=True)
class Shard:
    """One tar file of studies.

    Attributes:
        path: of the tar file.
        facts: what was known of the data set that was packed; None where somebody else made it.
        entries: the studies, in order.
        unused: how many members are no image of a modality.
    """

    path: Path
    facts: Mapping[str, Any] | None
    entries: Sequence[Entry]
    unused: int


def classes_of(entries: Iterable[Entry]) -> dict[str, tuple[str, ...]]:
    """{label: its classes in natural order} of all labels that some studies have."""
    classes: dict[str, set[str]] = {}
    for entry in entries:
        for label, name in entry.labels.items():
            classes.setdefault(label, set()).add(name)
    return {label: class_order(names) for label, names in classes.items()}
