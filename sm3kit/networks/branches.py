"""Backbones and fusion as one network: images become features, streams and a joint feature."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from sm3kit.backbones.base import Backbone
from sm3kit.data.batches import Batch
from sm3kit.fusions.base import Fusion
from sm3kit.modalities.base import Modality
from sm3kit.networks.pair_spaces import PairSpaces
from sm3kit.nn.finite import check_features
from sm3kit.nn.host.values import to_device, without_waiting
from sm3kit.nn.map_shape import MapShape
from sm3kit.nn.named_modules import NamedModules
from sm3kit.nn.precision import full_precision
from sm3kit.nn.present_rows import among_zeros, count_present, rows_of

# {modality: (B, D)}, {modality: [(B, C, H, W)] * L} and {modality: (B, C, H, W)}.
FeaturesAndMaps = tuple[dict[str, Tensor], dict[str, list[Tensor]], dict[str, Tensor]]
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
        network = self.backbones[modality] if backbone is None else backbone
        return full_precision(network(self._normalise(modality, raw)))

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Features {modality: (B, D)} of the first view of each image; zeros where absent."""
        features = {}
        for name, width in self.widths.items():
            raw = self._first_views(batch, name)
            rows = None if raw is None else self.encode(name, raw)
            features[name] = self._spread(rows, batch.present[name], (width,))
        return features

    def features_and_maps(self, batch: Batch) -> FeaturesAndMaps:
        """Features, feature maps and normalised views of the first view of each image.

        A modality whose backbone gives no maps has an empty list of them.
        """
        features, maps, views = {}, {}, {}
        for name, width in self.widths.items():
            # Data without a modality do not tell its shape; nothing looks at its zeros.
            like = self.modalities.get(name) or next(iter(self.modalities.values()))
            shape, mask = like.shape, batch.present[name]
            map_shapes: Sequence[MapShape] = self.backbones[name].map_shapes  # type: ignore[assignment]
            rows, images = None, None
            tables: Sequence[Tensor | None] = [None] * len(map_shapes)
            raw = self._first_views(batch, name)
            if raw is not None:
                rows, tables, images = self.encode_whole(name, raw)
            features[name] = self._spread(rows, mask, (width,))
            views[name] = self._spread(images, mask, shape)
            maps[name] = [
                self._spread(table, mask, map_shape.of_views(shape))
                for table, map_shape in zip(tables, map_shapes, strict=True)
            ]
        return features, maps, views

    def encode_whole(self, modality: str, raw: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Features (B, D), feature maps and normalised views of raw views, in float32."""
        images = self._normalise(modality, raw)
        rows, maps = self.backbones[modality].features_and_maps(images)  # type: ignore[operator]
        return full_precision(rows), [full_precision(table) for table in maps], images

    def _normalise(self, modality: str, raw: Tensor) -> Tensor:
        """Views as the backbone of a modality takes them."""
        images = self.modalities[modality].normalise(raw)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images

    def _first_views(self, batch: Batch, modality: str) -> Tensor | None:
        """The first raw views of the studies that have a modality; None if none has."""
        mask = batch.present[modality]
        if not count_present(mask):
            return None
        return rows_of(batch.views[modality][0], mask).to(self.device, non_blocking=True)

    def _spread(self, rows: Tensor | None, mask: Tensor, shape: Sequence[int]) -> Tensor:
        """Rows of the present studies among zeros (B, *shape), in float32."""
        if rows is None:
            return torch.zeros(len(mask), *shape, device=self.device)
        return among_zeros(full_precision(rows), to_device(mask, self.device))

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
        soon = without_waiting(device)
        views = {
            name: [rows.to(device, non_blocking=soon) for rows in tables]
            for name, tables in features.items()
        }
        with torch.autocast(device.type, enabled=False):
            return self.fusion(views, _known_on(present, device))  # type: ignore[no-any-return]

    def joint(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """The joint feature (B, J) of features {modality: (B, D)}; see `streams`."""
        device = self.device
        with torch.autocast(device.type, enabled=False):
            views = {
                name: rows.to(device, non_blocking=without_waiting(device))
                for name, rows in features.items()
            }
            return self.fusion.joint(views, _known_on(present, device))

    @torch.no_grad()
    def embed(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> PairSpaces:
        """Features {modality: (N, D)} of studies with their streams, on the CPU."""
        streams = self.streams({name: [rows] for name, rows in features.items()}, present)
        return PairSpaces(
            {name: rows.cpu() for name, rows in features.items()},
            {name: views[0].float().cpu() for name, views in streams.items()},
            {name: mask.cpu() for name, mask in present.items()},
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


def _known_on(masks: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: to_device(mask, device) for name, mask in masks.items()}


def _concatenate(tables: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([table[name] for table in tables]) for name in tables[0]}
