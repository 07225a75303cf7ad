"""Images that are taken away from studies, to see what a missing modality costs."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sm3kit.core.errors import VariantError
from sm3kit.core.names import quote, unknown
from sm3kit.data.cases import Case


@dataclass(frozen=True)
class Drop:
    """A modality whose images are taken away.

    Attributes:
        modality: by its name in the pool.
        share: of the studies, from above 0 to 1.
    """

    modality: str
    share: float = 1.0

    def takes(self, own_id: str) -> bool:
        """Whether a study loses its image.

        It depends on the modality and the id of the study in its data set alone, so it is the same
        study in every run, split, order and seed, whatever data are pooled with its own, and a
        larger share takes all studies of a smaller one. Of two data sets, studies with equal ids
        lose or keep their images alike.

        Args:
            own_id: of the study, without the name of its data set.
        """
        code = hashlib.blake2b(f"{self.modality}/{own_id}".encode(), digest_size=7).digest()
        return int.from_bytes(code, "big") / 2**56 < self.share


@dataclass(frozen=True)
class Remaining:
    """What is left of studies that have lost images.

    Attributes:
        cases: those with an image, in order.
        lost: {modality: number of these studies that lost it}.
        empty: names of the studies without any image left, which are not among the cases.
    """

    cases: list[Case]
    lost: dict[str, int]
    empty: list[str]


def drops_of(words: Iterable[str], known: Sequence[str]) -> list[Drop]:
    """Drops from what a user says: `clinic`, or `0.5:clinic` for half of the studies.

    Args:
        words: one for each modality.
        known: the modalities of the data.

    Raises:
        VariantError: an unknown modality, one that is named twice, or a share that is none.
    """
    drops: list[Drop] = []
    for word in words:
        drop = _drop_of(word, known)
        if drop.modality not in known:
            raise VariantError(f"--drop {word}: {unknown('modality', drop.modality, known)}")
        if drop.modality in [other.modality for other in drops]:
            raise VariantError(f"--drop names {quote(drop.modality)} twice. Name it once.")
        drops.append(drop)
    return drops


def _drop_of(word: str, known: Sequence[str]) -> Drop:
    share, colon, name = word.partition(":")
    if word in known or not colon:
        return Drop(word)
    try:
        number = float(share)
    except ValueError:
        return Drop(word)
    if not 0 < number <= 1:
        raise VariantError(
            f"--drop {word}: the share must be above 0 and at most 1, such as 0.5:{name}, not "
            f"{quote(share)}."
        )
    return Drop(name, number)


def without_images(
    cases: Iterable[Case], drops: Sequence[Drop], name_of: Callable[[Case], str]
) -> Remaining:
    """Studies without the images that are taken away.

    Args:
        cases: the studies, with their ids in their data sets.
        drops: what they lose.
        name_of: how those are called that have nothing left.
    """
    left = Remaining([], {drop.modality: 0 for drop in drops}, [])
    for case in cases:
        taken = [drop.modality for drop in drops if drop.takes(case.study.id)]
        images = {own: paths for own, paths in case.images.items() if own not in taken}
        if not images:
            left.empty.append(name_of(case))
            continue
        for modality in case.images.keys() - images.keys():
            left.lost[modality] += 1
        left.cases.append(dataclasses.replace(case, images=images))
    return left
