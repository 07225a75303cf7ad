"""Features in batches, from the cache or from images that are encoded anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from sm3kit.data.batches import StudyViews, eval_loader, train_loader
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.networks.branches import Branches
from sm3kit.networks.extraction import Features, features_of
from sm3kit.networks.frozen_views import encode_views
from sm3kit.nn.host.values import to_device, without_waiting
from sm3kit.nn.processes import process_count


@dataclass(frozen=True)
class JointBatch:
    """B studies as joint features, and as those of their modalities.

    Attributes:
        joint: (B, J).
        labels: (B, K) int64, -1 where unknown.
        index: (B,) position in the list of studies.
        features: {modality: (B, D)}.
        present: {modality: (B,) bool}.
    """

    joint: Tensor
    labels: Tensor
    index: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)
    present: Mapping[str, Tensor] = field(default_factory=dict)

    unit = "studies"

    @property
    def count(self) -> int:
        """The number of studies."""
        return len(self.index)

    def to(self, device: torch.device | str) -> JointBatch:
        """The batch on a device; the host still knows everything in it but the features."""
        soon = without_waiting(device)
        return JointBatch(
            self.joint.to(device, non_blocking=soon),
            to_device(self.labels, device),
            to_device(self.index, device),
            {name: rows.to(device, non_blocking=soon) for name, rows in self.features.items()},
            {name: to_device(mask, device) for name, mask in self.present.items()},
        )


class JointSource(Protocol):
    """Gives joint features of a list of studies."""

    def __len__(self) -> int:
        """How many studies there are."""

    def shuffled(self, batches: EpochBatches) -> Any:
        """Batches of random views in the order of `batches`, anew with each iteration."""

    def in_order(self, epoch: int) -> Iterator[JointBatch]:
        """All studies in order, under the views of an epoch; EVALUATION for the evaluation view."""


class CachedJoint:
    """Draws one of the cached views of each study and modality in every epoch.

    Args:
        features: V views of N studies.
        branches: for their fusion.
        seed: of the draws, which depend on it, the epoch and the modality alone.
        batch_size: of batches in order.
    """

    def __init__(
        self, features: Features, branches: Branches, seed: int, batch_size: int = 1024
    ) -> None:
        self.features, self.branches = features, branches
        self.seed, self.batch_size = seed, batch_size

    def __len__(self) -> int:
        return len(self.features)

    def shuffled(self, batches: EpochBatches) -> _ShuffledBatches:
        """Batches of random views in the order of `batches`."""
        return _ShuffledBatches(self, batches)

    def in_order(self, epoch: int) -> Iterator[JointBatch]:
        """All studies in order, under the views of an epoch."""
        chosen = self.draw_views(epoch)
        for start in range(0, len(self), self.batch_size):
            yield self.batch(torch.arange(start, min(start + self.batch_size, len(self))), chosen)

    def draw_views(self, epoch: int) -> dict[str, np.ndarray]:
        """{modality: (N,) which view} of an epoch."""
        return {
            name: np.random.default_rng([self.seed, max(epoch, 0), crc32(name.encode())]).integers(
                len(views), size=len(self)
            )
            for name, views in self.features.views.items()
        }

    def batch(
        self, index: Tensor, chosen: Mapping[str, np.ndarray], turns: Sequence[int] = (0,)
    ) -> JointBatch:
        """Some studies under the views of an epoch.

        Args:
            index: (B,) positions of the studies.
            chosen: {modality: (N,) view of each study}; see `draw_views`.
            turns: (B,) how often the epoch had each study before: it has another view each time.
        """
        present = {name: mask[index] for name, mask in self.features.present.items()}
        views = {
            name: (own[index.numpy()] + np.array(turns)) % len(self.features.views[name])
            for name, own in chosen.items()
        }
        features = self.features.rows(index, views)
        with torch.no_grad():
            joint = self.branches.joint(features, present)
        batch = JointBatch(joint, self.features.labels[index], index, features, present)
        return batch.to(self.branches.device)


class _ShuffledBatches:
    """What Lightning iterates over: it sets the epoch on `sampler`."""

    def __init__(self, source: CachedJoint, batches: EpochBatches) -> None:
        self.source, self.sampler = source, batches

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[JointBatch]:
        chosen = self.source.draw_views(self.sampler.epoch)
        for places in self.sampler:
            _, index, turns = zip(*places, strict=True)
            yield self.source.batch(torch.tensor(index), chosen, turns)


class EncodedJoint:
    """Encodes new views in every epoch, as the paper does.

    Args:
        shown: the studies.
        branches: frozen networks.
        precision: as Lightning names it.
        batch_size: of batches in order.
        workers: processes that prepare views.
    """

    def __init__(
        self,
        shown: StudyViews,
        branches: Branches,
        precision: str,
        batch_size: int = 96,
        workers: int = 0,
    ) -> None:
        self.shown, self.branches, self.precision = shown, branches, precision
        self.batch_size, self.workers = batch_size, workers

    def __len__(self) -> int:
        return len(self.shown)

    def shuffled(self, batches: EpochBatches) -> _EncodedBatches:
        """Batches of random views in the order of `batches`."""
        names = list(self.branches.widths)
        return _EncodedBatches(
            self, train_loader(self.shown, batches, names, self.workers), batches
        )

    def in_order(self, epoch: int) -> Iterator[JointBatch]:
        """All studies in order, under the views of an epoch; all processes encode them together."""
        names = list(self.branches.widths)
        if process_count() == 1:
            loader = eval_loader(self.shown, self.batch_size, names, self.workers, epoch)
            yield from self.encode(loader)
            return
        settings = (self.batch_size, self.precision, self.workers)
        (tables,) = encode_views(self.branches, self.shown, [epoch], *settings)
        features = features_of(self.shown, {name: [rows] for name, rows in tables.items()})
        yield from CachedJoint(features, self.branches, 0, self.batch_size).in_order(epoch)

    def encode(self, loader: Any) -> Iterator[JointBatch]:
        """Batches of images as joint features."""
        for batch in loader:
            features = self.branches.frozen_features(batch, self.precision)
            with torch.no_grad():
                # A copy: what inference mode made cannot be saved for a gradient.
                copied = {name: rows.clone() for name, rows in features.items()}
                joint = self.branches.joint(copied, batch.present)
            whole = JointBatch(joint, batch.labels, batch.index, copied, batch.present)
            yield whole.to(self.branches.device)


class _EncodedBatches:
    """A loader of images, seen as one of joint features."""

    def __init__(self, source: EncodedJoint, loader: Any, batches: EpochBatches) -> None:
        self.source, self.loader, self.sampler = source, loader, batches

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[JointBatch]:
        return self.source.encode(self.loader)

    # Lightning looks for this at the end, to stop the workers; nothing else stops them in time.
    @property
    def _iterator(self) -> Any:
        return self.loader._iterator

    @_iterator.setter
    def _iterator(self, nothing: None) -> None:
        self.loader._iterator = nothing
