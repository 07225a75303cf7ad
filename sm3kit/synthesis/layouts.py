"""Folders of synthetic studies, laid out as the data sets that users bring."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sm3kit.core import ranges
from sm3kit.core.errors import DataError, UnknownName
from sm3kit.core.files import whole_folder
from sm3kit.core.names import unknown
from sm3kit.core.options import Option, convert
from sm3kit.synthesis import layout_derm7pt, layout_midas, layout_milk10k
from sm3kit.synthesis.layout_isic import isic
from sm3kit.synthesis.layout_manifest import manifest

# Each writes (folder, pairs, size, seed).
LAYOUTS: dict[str, Callable[[Path, int, int, int], None]] = {
    "derm7pt": layout_derm7pt.release,
    "derm7pt-flat": layout_derm7pt.tables_beside_images,
    "isic": isic,
    "manifest": manifest,
    "midas": layout_midas.release,
    "midas-repeats": layout_midas.with_repeats,
    "milk10k": layout_milk10k.challenge,
    "milk10k-archive": layout_milk10k.archive,
    "milk10k-flat": layout_milk10k.flat,
}


def write(
    layout: str, out: Path, pairs: int, size: int = 128, seed: int = 0, missing: float = 0.0
) -> None:
    """Writes a data set of synthetic lesions; the folder is whole or not there.

    Args:
        layout: a name of LAYOUTS.
        out: the folder to make; it may exist if it is empty.
        pairs: number of lesions, 1 or more; most have pictures of all kinds.
        size: side of a picture in pixels, 32 or more.
        seed: 0 or more; one seed gives the same bytes again.
        missing: share of lesions without the clinical picture, 0 to 1; for the manifest only.

    Raises:
        UnknownName: there is no such layout.
        OptionError: a number is out of range.
        DataError: `out` is not empty, or the layout leaves no pictures out.
        SM3Error: the disk is full or the folder cannot be written.
    """
    if layout not in LAYOUTS:
        raise UnknownName(unknown("layout", layout, LAYOUTS))
    numbers = (
        ("pairs", ranges.Count, pairs),
        ("size", ranges.Side, size),
        ("seed", ranges.Seed, seed),
    )
    for name, kind, value in (*numbers, ("missing", ranges.Share, missing)):
        convert(Option(name, kind), value, "synthetic data")
    fill = LAYOUTS[layout]
    if missing:
        if layout != "manifest":
            raise DataError(
                f"The layout {layout!r} has both pictures of every lesion, not missing={missing}. "
                "Leave missing out, or choose the layout 'manifest'."
            )
        fill = partial(manifest, missing=missing)
    with whole_folder(out) as folder:
        fill(folder, pairs, size, seed)
