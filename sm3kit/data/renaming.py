"""What --map does: modalities of several data sets meet under one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sm3kit.core.errors import VariantError
from sm3kit.core.names import unknown


def renamed(modalities: Sequence[Sequence[str]], rename: Mapping[str, str]) -> list[dict[str, str]]:
    """{name in the data: name in the pool} for each data set.

    `clinic=close-up` calls clinic what the data call close-up. Where no data set has a close-up,
    it calls their clinic close-up.

    Raises:
        VariantError: neither side is a modality of the data, or two would share a name.
    """
    known = {name for names in modalities for name in names}
    table: dict[str, str] = {}
    for left, right in rename.items():
        if right in known:
            table[right] = left
        elif left in known:
            table[left] = right
        else:
            raise VariantError(f"Option --map {left}={right}: {unknown('modality', right, known)}")
    renamed_sets = []
    for names in modalities:
        new = {name: table.get(name, name) for name in names}
        if len(set(new.values())) < len(new):
            raise VariantError(f"Option --map gives two of {', '.join(names)} the same name.")
        renamed_sets.append(new)
    return renamed_sets
