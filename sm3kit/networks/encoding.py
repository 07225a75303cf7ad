"""Features of studies under the evaluation view, and how well pairs find each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from sm3kit.data.batches import Batch
from sm3kit.networks.extractor import Extractor
from sm3kit.nn.finite import not_finite
from sm3kit.nn.monitors import partner_ranks


@dataclass(frozen=True)
class Encoded:
    """Features of N studies.

    Attributes:
        features: {modality: (N, D)}, zeros where absent.
        streams: {stream: (N, P)} of the fusion.
        present: {modality: (N,) bool}.
    """

    features: dict[str, Tensor]
    streams: dict[str, Tensor]
    present: dict[str, Tensor]

    def vectors(self) -> dict[str, Tensor]:
        """All features and streams (N, D) under one name each, streams with a trailing *."""
        return self.features | {f"{name}*": rows for name, rows in self.streams.items()}


@torch.no_grad()
def encoded(extractor: Extractor, batches: Iterable[Batch]) -> Encoded:
    """Encodes batches of evaluation views; the networks are in eval mode meanwhile."""
    training = extractor.training
    extractor.eval()
    try:
        parts = [_encoded(extractor, batch) for batch in batches]
    finally:
        extractor.train(training)
    return Encoded(
        _joined([part.features for part in parts]),
        _joined([part.streams for part in parts]),
        _joined([part.present for part in parts]),
    )


def _encoded(extractor: Extractor, batch: Batch) -> Encoded:
    present = {name: mask.to(extractor.device) for name, mask in batch.present.items()}
    features = extractor.features(batch)
    streams = extractor.fusion({name: [rows] for name, rows in features.items()}, present)
    return Encoded(
        {name: rows.cpu() for name, rows in features.items()},
        {name: views[0].float().cpu() for name, views in streams.items()},
        batch.present,
    )


def _joined(tables: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([table[name] for table in tables]) for name in tables[0]}


@dataclass(frozen=True)
class Direction:
    """The N studies with images of two modalities; each image of one looks for its partner.

    Attributes:
        one, other: the modalities of the queries and of the gallery.
        rows: (N,) int64, which studies.
        queries, gallery: (N, D), partners at equal rows.
    """

    one: str
    other: str
    rows: Tensor
    queries: Tensor
    gallery: Tensor

    @property
    def name(self) -> str:
        """Such as "derm->clinic"."""
        return f"{self.one}->{self.other}"

    def ranks(self) -> Tensor:
        """The rank (N,) of each query's partner, from 1; see `partner_ranks`."""
        return partner_ranks(self.queries, self.gallery)


def directions(vectors: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Iterator[Direction]:
    """From each modality to each other one of equal width, where two studies or more have both.

    Args:
        vectors: {modality: (N, D)}; what is of no modality is left out.
        present: {modality: (N,) bool}.
    """
    for one, other in permutations([name for name in vectors if name in present], 2):
        rows = torch.nonzero(present[one] & present[other])[:, 0]
        if len(rows) > 1 and vectors[one].shape[1] == vectors[other].shape[1]:
            yield Direction(one, other, rows, vectors[one][rows], vectors[other][rows])


def mean_ranks(found: Encoded, space: str) -> dict[str, tuple[float, int]]:
    """The mean rank of the true partner, and the number of pairs, for each direction "a->b".

    Source: Wang et al. 2025, section 5.2.3 and table 6; chance is (N + 1) / 2. NaN where vectors
    are not finite.

    Args:
        found: encoded studies.
        space: "backbone" compares features of equal width, "projection" the streams.
    """
    vectors = found.features if space == "backbone" else found.streams
    ranks = {}
    for way in directions(vectors, found.present):
        bad = not_finite({way.one: way.queries, way.other: way.gallery})
        rank = math.nan if bad else float(way.ranks().mean())
        ranks[way.name] = (rank, len(way.rows))
    return ranks
