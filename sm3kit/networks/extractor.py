"""Backbones and fusion as one network: images become features, streams and a joint feature."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sm3kit.backbones.base import Backbone
from sm3kit.data.batches import Batch
from sm3kit.fusions.base import Fusion
from sm3kit.modalities.base import Modality
from sm3kit.nn.named_modules import NamedModules
from sm3kit.nn.precision import full_precision


class Extractor(nn.Module):
    """What stage 1 trains and everything after it reads.

    Args:
        backbones: {modality: backbone}.
        fusion: the fusion.
        modalities: {modality: how raw views are normalised}.
        channels_last: memory order of the images.
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

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def encode(self, modality: str, raw: Tensor) -> Tensor:
        """Float32 features (B, D) of raw views (B, C, S, S)."""
        images = self.modalities[modality].normalise(raw)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return full_precision(self.backbones[modality](images))

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Features {modality: (B, D)} of the first view of each image; zeros where absent."""
        found = {}
        for name in self.fusion.widths:
            mask = batch.present[name]
            rows = torch.zeros(len(mask), self.fusion.widths[name], device=self.device)
            if mask.any():
                part = batch.views[name][0] if mask.all() else batch.views[name][0][mask]
                encoded = self.encode(name, part.to(self.device, non_blocking=True))
                where = mask.nonzero(as_tuple=True)[0].to(self.device)
                rows = rows.index_copy(0, where, encoded)
            found[name] = rows
        return found

    def joint(self, batch: Batch) -> Tensor:
        """The joint feature (B, J) of the first view of each image."""
        present = {name: mask.to(self.device) for name, mask in batch.present.items()}
        features = self.features(batch)
        with torch.autocast(self.device.type, enabled=False):
            return self.fusion.joint(features, present)

    def fingerprint(self, modality: str) -> str:
        """A hash of all weights and buffers of one backbone."""
        digest = hashlib.blake2b(digest_size=16)
        for name, value in self.backbones[modality].state_dict().items():
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()
