"""One study in a pool, and the data set that it comes from."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sm3kit.core.errors import VariantError
from sm3kit.core.names import unknown
from sm3kit.datasets.base import Dataset, Study, as_paths

if TYPE_CHECKING:
    # Grids open data sets without torch.
    from sm3kit.modalities.base import Modality


@dataclass(frozen=True)
class Source:
    """One data set of a pool.

    Attributes:
        spec: what a user gave to --data.
        dataset: the data set.
        names: {modality in the data: name in the pool}, those in use.
        every_name: the names of all its modalities, used or not.
    """

    spec: str
    dataset: Dataset
    names: Mapping[str, str]
    every_name: Sequence[str]

    def images(self, study: Study) -> dict[str, tuple[str, ...]]:
        """The images of a study by pool name."""
        images = {self.names[n]: as_paths(p) for n, p in study.images.items() if n in self.names}
        return {name: paths for name, paths in images.items() if paths}


@dataclass(frozen=True)
class Case:
    """One study in a pool.

    Attributes:
        study: the study as its data set lists it.
        source: index of its data set.
        images: {modality: paths} by the pool's names; of several paths a view draws one.
        labels: (K,) class per label of the pool, -1 where unknown.
        group: code of the patient or lesion, unique over data sets.
    """

    study: Study
    source: int
    images: Mapping[str, tuple[str, ...]]
    labels: tuple[int, ...]
    group: int

    def eval_images(self) -> dict[str, str]:
        """{modality: path} that evaluation shows: of several the one in the middle."""
        return {name: paths[len(paths) // 2] for name, paths in self.images.items()}


def pool_names(
    modalities: Sequence[Sequence[str]], rename: Mapping[str, str]
) -> list[dict[str, str]]:
    """{name in the data: name in the pool} for each data set, as --map says.

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


def paired_frames(
    sources: Sequence[Source], modalities: Mapping[str, Modality]
) -> list[dict[str, str]]:
    """{modality: frame} for each data set, of modalities that are registered with another one.

    Raises:
        VariantError: no data set has such modalities, or one of them cannot be paired.
    """
    tables = []
    for source in sources:
        frames = {new: source.dataset.modalities[old].frame for old, new in source.names.items()}
        often = Counter(frames.values())
        tables.append({name: frame for name, frame in frames.items() if frame and often[frame] > 1})
    names = {name for table in tables for name in table}
    if not names:
        raise VariantError(
            "Option -o paired_geometry=true needs modalities that are registered with "
            f"each other, and of {', '.join(modalities)} none are. In a manifest, name them: "
            "-o manifest.registered=NAME,NAME"
        )
    for name in sorted(names):
        if "geometry" not in inspect.signature(modalities[name].views).parameters:
            raise VariantError(
                f"Modality {name!r} cannot share its geometry: {type(modalities[name]).__name__} "
                "draws no geometry of its own. Leave out -o paired_geometry=true."
            )
    return tables


def shares(cases: Sequence[Case], modalities: Sequence[str]) -> Mapping[str, int]:
    """How many cases have each modality."""
    return {name: sum(name in case.images for case in cases) for name in modalities}
