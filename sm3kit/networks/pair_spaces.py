"""Studies in the spaces in which the images of a study can find each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import torch
from torch import Tensor

from sm3kit.nn.finite import not_finite
from sm3kit.nn.monitors import partner_ranks


@dataclass(frozen=True)
class PairSpaces:
    """N studies in the spaces in which the images of a study can find each other.

    Attributes:
        features: {modality: (N, D)}, zeros where absent; the space "backbone".
        streams: {stream: (N, P)} of the fusion; the space "projection".
        present: {modality: (N,) bool}.
    """

    features: Mapping[str, Tensor]
    streams: Mapping[str, Tensor]
    present: Mapping[str, Tensor]

    @property
    def of_modalities(self) -> dict[str, Tensor]:
        """The streams that belong to a modality each."""
        return {name: rows for name, rows in self.streams.items() if name in self.present}

    @property
    def spaces(self) -> list[str]:
        """The spaces in which modalities can be compared, the one after the fusion last."""
        return ["backbone", "projection"] if len(self.of_modalities) > 1 else ["backbone"]

    def vectors(self) -> dict[str, Tensor]:
        """All features and streams (N, D) under one name each, streams with a trailing *."""
        return {**self.features, **{f"{name}*": rows for name, rows in self.streams.items()}}

    def directions(self, space: str) -> Iterator[Direction]:
        """From each modality to each other one of equal width, where two studies or more have both.

        Args:
            space: "backbone" or "projection"; streams of no modality are left out.
        """
        vectors = self.features if space == "backbone" else self.of_modalities
        searches: dict[tuple[str, str], Search] = {}
        for one, other in permutations(vectors, 2):
            rows = torch.nonzero(self.present[one] & self.present[other])[:, 0]
            if len(rows) > 1 and vectors[one].shape[1] == vectors[other].shape[1]:
                back = (other, one) in searches
                if not back:
                    searches[one, other] = Search(vectors[one][rows], vectors[other][rows])
                search = searches.pop((other, one)) if back else searches[one, other]
                yield Direction(one, other, rows, search, back)

    def take(self, rows: Tensor) -> PairSpaces:
        """Some of the studies, by their places (n,)."""
        tables = (self.features, self.streams, self.present)
        return PairSpaces(*({name: table[rows] for name, table in own.items()} for own in tables))

    def mean_ranks(self, space: str) -> dict[str, tuple[float, int]]:
        """The mean rank of the true partner, and the number of pairs, for each direction "a->b".

        Source: Wang et al. 2025, section 5.2.3 and table 6; chance is (N + 1) / 2. NaN where
        vectors are not finite.

        The space is "backbone" or "projection".
        """
        ranks = {}
        for way in self.directions(space):
            bad = not_finite({way.one: way.queries, way.other: way.gallery})
            rank = math.nan if bad else float(way.ranks().mean())
            ranks[way.name] = (rank, len(way.rows))
        return ranks


class Search:
    """The search for partners (N, D) at equal rows, both ways at once, when it is first asked for."""

    def __init__(self, one: Tensor, other: Tensor) -> None:
        self.one, self.other = one, other

    @cached_property
    def ranks(self) -> tuple[Tensor, Tensor]:
        """The ranks (N,) of `other` for each row of `one`, and back; see `partner_ranks`."""
        return partner_ranks(self.one, self.other)


@dataclass(frozen=True)
class Direction:
    """The N studies with images of two modalities; each image of one looks for its partner.

    Attributes:
        one, other: the modalities of the queries and of the gallery.
        rows: (N,) int64, which studies.
        search: of these two modalities.
        back: whether the search began with the other one.
    """

    one: str
    other: str
    rows: Tensor
    search: Search
    back: bool

    @property
    def name(self) -> str:
        """Such as "derm->clinic"."""
        return f"{self.one}->{self.other}"

    @property
    def queries(self) -> Tensor:
        """The vectors (N, D) that look for a partner."""
        return self.search.other if self.back else self.search.one

    @property
    def gallery(self) -> Tensor:
        """The vectors (N, D) among which they look, partners at equal rows."""
        return self.search.one if self.back else self.search.other

    def ranks(self) -> Tensor:
        """The rank (N,) of each query's partner, from 1; see `partner_ranks`."""
        return self.search.ranks[self.back]
