"""The views of a batch become features, whole or in parts."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from sm3kit.networks.branches import Branches
from sm3kit.nn.named_modules import NamedModules
from sm3kit.nn.recomputation import parts_of, recomputed


@dataclass(frozen=True)
class EncodedViews:
    """What networks make of views.

    Attributes:
        features: {modality: [(B, D)] * V}, in float32.
        maps: {modality: [(B, C, H, W)] * V}, the last ones, of the modalities that were asked for.
    """

    features: dict[str, list[Tensor]] = field(default_factory=dict)
    maps: dict[str, list[Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class ViewEncoder:
    """Encodes the views of a batch.

    As in the released code, each view is a batch of B rows for the batch norm of the backbone.

    Attributes:
        branches: the networks.
        join_views: views of one size are one batch, so that batch norms see all of their rows.
        micro_batch: studies that the networks see at a time; batch norms have the statistics of
            these alone. A part is computed a second time for the gradients instead of being kept,
            see `recomputed`. 0 takes the batch as a whole.
    """

    branches: Branches
    join_views: bool = False
    micro_batch: int = 0

    def encode(
        self,
        views: Mapping[str, Sequence[Tensor]],
        networks: NamedModules,
        mapped: Container[str] = (),
    ) -> EncodedViews:
        """Features, and where they are asked for maps.

        Args:
            views: raw, {modality: [(B, C, S, S)] * V}, of one or several sizes.
            networks: {modality: encoder}.
            mapped: modalities whose last maps are wanted, too, from the branches themselves.
        """
        encoded = EncodedViews()
        for name, own in views.items():
            together = [list(same) for _, same in groupby(own, lambda view: view.shape[1:])]
            if not self.join_views:
                together = [[view] for view in own]
            made = [self._in_parts(name, group, networks, name in mapped) for group in together]
            encoded.features[name] = [rows for features, _ in made for rows in features]
            if name in mapped:
                encoded.maps[name] = [table for _, maps in made for table in maps]
        return encoded

    def _in_parts(
        self, name: str, views: Sequence[Tensor], networks: NamedModules, mapped: bool
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Features and maps of views of one size that are encoded as one batch."""
        network = networks[name]

        def function(*raw: Tensor) -> tuple[Tensor, ...]:
            joined = torch.cat(raw) if len(raw) > 1 else raw[0]
            if not mapped:
                return (self.branches.encode(name, joined, network),)
            rows, maps, _ = self.branches.encode_whole(name, joined)
            return rows, maps[-1]

        parts = parts_of(len(views[0]), self.micro_batch)
        if len(parts) == 1:
            made = [function(*views)]
        else:
            made = [recomputed(network, function, *(view[p] for view in views)) for p in parts]
        # Each is (V * b rows of a part); a view has its rows of all parts.
        tables = [[table.chunk(len(views)) for table in part] for part in made]
        kinds = [
            [_whole([part[kind][view] for part in tables]) for view in range(len(views))]
            for kind in range(len(made[0]))
        ]
        return kinds[0], kinds[1] if mapped else []


def _whole(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]
