"""Backbones and fusion as one network: images become features, streams and a joint feature."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor, nn

from sm3kit.backbones.base import Backbone
from sm3kit.data.batches import Batch
from sm3kit.fusions.base import Fusion
from sm3kit.modalities.base import Modality
from sm3kit.nn.finite import check_features, not_finite
from sm3kit.nn.monitors import partner_ranks
from sm3kit.nn.named_modules import NamedModules
from sm3kit.nn.precision import full_precision

HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Branches(nn.Module):
    """What stage 1 trains and everything after it reads; it brings what it is given to its device.

    Args:
        backbones: {modality: backbone}.
        fusion: the fusion.
        modalities: {modality: how raw views are normalised}.
        channels_last: memory order of images and weights.
    """

    def __init__(
        self,
        backbones: Mapping[str, Backbone],
        fusion: Fusion,
        modalities: Mapping[str, Modality],
        channels_last: bool,
    ) -> None:
        super().__init__()
        self.backbones = NamedModules(backbones)
        self.fusion = fusion
        self.modalities, self.channels_last = modalities, channels_last
        if channels_last:
            # Now, not when they are trained: a stage 2 that goes on must round as it did before.
            self.to(memory_format=torch.channels_last)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def widths(self) -> Mapping[str, int]:
        """{modality: width D of its features}, in the order of the fusion."""
        return self.fusion.widths

    @property
    def joint_width(self) -> int:
        """J of the joint feature."""
        return self.fusion.joint_width

    def encode(self, modality: str, raw: Tensor, backbone: nn.Module | None = None) -> Tensor:
        """Float32 features (B, D) of raw views (B, C, S, S).

        Args:
            modality: of the views.
            raw: as they are read, before they are normalised.
            backbone: another network than that of the modality, such as its EMA encoder.
        """
        images = self.modalities[modality].normalise(raw)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return full_precision((self.backbones[modality] if backbone is None else backbone)(images))

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Features {modality: (B, D)} of the first view of each image; zeros where absent."""
        features = {}
        for name, width in self.widths.items():
            mask = batch.present[name]
            rows = torch.zeros(len(mask), width, device=self.device)
            if mask.any():
                raw = batch.views[name][0] if mask.all() else batch.views[name][0][mask]
                encoded = self.encode(name, raw.to(self.device, non_blocking=True))
                where = mask.nonzero(as_tuple=True)[0].to(self.device)
                rows = rows.index_copy(0, where, encoded)
            features[name] = rows
        return features

    @torch.inference_mode()
    def frozen_features(self, batch: Batch, precision: str) -> dict[str, Tensor]:
        """Features {modality: (B, D)} in eval mode, without a gradient.

        The precision is called as Lightning names it.

        Raises:
            TrainingError: some are not finite.
        """
        self.eval()
        kind = HALF.get(precision)
        with torch.autocast(self.device.type, dtype=kind, enabled=kind is not None):
            features = self.features(batch)
        check_features(features, f"computed in {precision}")
        return features

    def streams(
        self, features: Mapping[str, Sequence[Tensor]], present: Mapping[str, Tensor]
    ) -> dict[str, list[Tensor]]:
        """{stream: [(B, P)] * V} of the fusion; none where it has none.

        Args:
            features: {modality: [(B, D)] * V}.
            present: {modality: (B,) bool}.
        """
        device = self.device
        views = {name: [rows.to(device) for rows in tables] for name, tables in features.items()}
        with torch.autocast(device.type, enabled=False):
            return self.fusion(views, _on(present, device))  # type: ignore[no-any-return]

    def joint(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """The joint feature (B, J) of features {modality: (B, D)}; see `streams`."""
        device = self.device
        with torch.autocast(device.type, enabled=False):
            return self.fusion.joint(_on(features, device), _on(present, device))

    @torch.no_grad()
    def embed(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> PairSpaces:
        """Features {modality: (N, D)} of studies with their streams, on the CPU."""
        streams = self.streams({name: [rows] for name, rows in features.items()}, present)
        return PairSpaces(
            {name: rows.cpu() for name, rows in features.items()},
            {name: views[0].float().cpu() for name, views in streams.items()},
            dict(present),
        )

    @torch.no_grad()
    def embed_batches(self, batches: Iterable[Batch]) -> PairSpaces:
        """Encodes batches of evaluation views; the networks are in eval mode meanwhile."""
        training = self.training
        self.eval()
        try:
            parts = [self.embed(self.features(batch), batch.present) for batch in batches]
        finally:
            self.train(training)
        return PairSpaces(
            _concatenate([part.features for part in parts]),
            _concatenate([part.streams for part in parts]),
            _concatenate([part.present for part in parts]),
        )

    def fingerprint(self, modality: str) -> str:
        """A hash of all weights and buffers of one backbone."""
        digest = hashlib.blake2b(digest_size=16)
        for name, value in self.backbones[modality].state_dict().items():
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


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
        for one, other in permutations(vectors, 2):
            rows = torch.nonzero(self.present[one] & self.present[other])[:, 0]
            if len(rows) > 1 and vectors[one].shape[1] == vectors[other].shape[1]:
                yield Direction(one, other, rows, vectors[one][rows], vectors[other][rows])

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


def _on(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: values.to(device) for name, values in tensors.items()}


def _concatenate(tables: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([table[name] for table in tables]) for name in tables[0]}
