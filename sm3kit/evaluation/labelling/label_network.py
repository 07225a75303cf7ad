"""What a batch goes through to the logits of every label: a network that ends in a classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sm3kit.classifiers.base import JOINT, Classifier, Streams
from sm3kit.data.batches import Batch
from sm3kit.evaluation.missing.filling import Filling, Join, filled_joint
from sm3kit.networks.branches import Branches
from sm3kit.networks.joint_batches import JointBatch
from sm3kit.nn.host.values import to_device


class LabelNetwork(nn.Module):
    """What a batch goes through to the logits of every label.

    Args:
        classifier: its last part.
        filling: what stands in for absent modalities in the joint feature; None leaves them to
            the fusion.
    """

    def __init__(self, classifier: Classifier, filling: Filling | None = None) -> None:
        super().__init__()
        self.classifier = classifier
        self.filling = filling

    def forward(self, batch: Any) -> Streams:
        """Logits {stream: [(B, C)] * K}."""
        raise NotImplementedError

    __call__: Callable[..., Streams]  # Not Any, as torch declares it.

    def weight_of(self, stream: str) -> float:
        """The weight of the loss of a stream."""
        return self.classifier.stream_weights.get(stream, 1.0)

    def labels_of(self, stream: str, batch: Any) -> Tensor:
        """The labels (B, K) that a stream learns from, -1 where it does not."""
        labels: Tensor = batch.labels
        return labels

    def extra_terms(self) -> dict[str, Tensor]:
        """Weighted loss terms of the last batch beside those of the labels."""
        return self.classifier.extra_terms()

    def names_of(self, streams: Iterable[str]) -> list[str]:
        """What the classifier calls the streams."""
        return list(streams)

    def weigh(self, streams: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
        """One table of logits [(B, C)] * K: the weighted mean over the streams."""
        return self.classifier.weigh(streams)

    def decide(self, streams: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
        """Class probabilities [(B, C)] * K of logits."""
        return self.classifier.decide(streams)


class FromFeatures(LabelNetwork):
    """A classifier whose batches are features.

    Args:
        classifier, filling: see `LabelNetwork`.
        join: makes the joint feature of features that were filled in.
    """

    def __init__(
        self, classifier: Classifier, filling: Filling | None = None, join: Join | None = None
    ) -> None:
        super().__init__(classifier, filling)
        self.join = join

    def forward(self, batch: JointBatch) -> Streams:
        """Logits {stream: [(B, C)] * K}."""
        return classify(self.classifier, self.joint(batch), batch.features, batch.present)

    def joint(self, batch: JointBatch) -> Tensor:
        """The joint feature (B, J), in which something may stand for absent modalities."""
        if self.filling is None:
            return batch.joint
        assert self.join is not None
        return filled_joint(self.join, self.filling, batch.features, batch.present)


class FromImages(LabelNetwork):
    """Networks and a classifier whose batches are images.

    Args:
        branches: backbones and fusion.
        classifier: on their features.
        filling: see `LabelNetwork`.
    """

    def __init__(
        self, branches: Branches, classifier: Classifier, filling: Filling | None = None
    ) -> None:
        super().__init__(classifier, filling)
        self.extractor = branches  # The name stands in files.

    def forward(self, batch: Batch) -> Streams:
        """Logits {stream: [(B, C)] * K}."""
        branches, classifier = self.extractor, self.classifier
        if classifier.wants_maps or classifier.wants_views:
            features, maps, views = branches.features_and_maps(batch)
        else:
            features, maps, views = branches.features(batch), {}, {}
        return on_encoded(self, branches, features, batch.present, maps, views)


def of_raw_views(
    member: LabelNetwork,
    branches: Branches,
    raw: Mapping[str, Tensor],
    present: Mapping[str, Tensor],
) -> Streams:
    """Logits {stream: [(B, C)] * K}, without a branch that depends on what is present.

    All views go through the backbones, also those of absent images, as in a graph.

    Args:
        member: whose classifier decides.
        branches: the networks below it.
        raw: {modality: (B, C, S, S)} of the modalities that there are views of.
        present: {modality: (B,) bool} of all modalities of the branches.
    """
    features, maps, views = {}, {}, {}
    for name, width in branches.widths.items():
        mask = present[name]
        if name not in raw:
            features[name] = mask.unsqueeze(1).float().expand(-1, width) * 0
            continue
        if not (member.classifier.wants_maps or member.classifier.wants_views):
            features[name] = _where(mask, branches.encode(name, raw[name]))
            continue
        rows, tables, images = branches.encode_whole(name, raw[name])
        features[name], views[name] = _where(mask, rows), _where(mask, images)
        maps[name] = [_where(mask, table) for table in tables]
    return on_encoded(member, branches, features, present, maps, views)


def _where(mask: Tensor, rows: Tensor) -> Tensor:
    """Rows (B, ...) of the studies in a mask (B,), zeros elsewhere."""
    return torch.where(mask.reshape(-1, *[1] * (rows.ndim - 1)), rows, torch.zeros_like(rows))


def on_encoded(
    member: LabelNetwork,
    branches: Branches,
    features: Mapping[str, Tensor],
    present: Mapping[str, Tensor],
    maps: Mapping[str, Sequence[Tensor]],
    views: Mapping[str, Tensor],
) -> Streams:
    """Logits {stream: [(B, C)] * K} of what the branches make of images, outside autocast.

    Args:
        member: whose classifier decides, and whose filling stands in for absent modalities.
        features: {modality: (B, D)}.
        present: {modality: (B,) bool}.
        maps: {modality: [(B, C, H, W)] * L}; looked at by a classifier that wants them.
        views: {modality: (B, C, H, W)}, normalised; likewise.
    """
    classifier, joint = member.classifier, None
    if classifier.on == "joint":
        joint = filled_joint(branches.joint, member.filling, features, present)
    more: dict[str, Any] = {"maps": maps} if classifier.wants_maps else {}
    more |= {"views": views} if classifier.wants_views else {}
    with torch.autocast(branches.device.type, enabled=False):
        return classify(classifier, joint, features, present, **more)


def classify(
    classifier: Classifier,
    joint: Tensor | None,
    features: Mapping[str, Tensor],
    present: Mapping[str, Tensor],
    **more: Any,
) -> Streams:
    """Logits {stream: [(B, C)] * K} of features, or of the joint feature: what the classifier is on.

    Args:
        joint: (B, J); None for a classifier on the modalities.
        features: {modality: (B, D)}.
        present: {modality: (B,) bool}.
        more: maps and views, for a classifier that wants them.
    """
    if classifier.on == "joint":
        assert joint is not None
        everywhere = torch.ones_like(joint[:, 0], dtype=torch.bool)  # A graph has no fixed B.
        return classifier({JOINT: joint}, {JOINT: everywhere}, **more)  # type: ignore[no-any-return]
    device = next(iter(features.values())).device
    masks = {name: to_device(mask, device) for name, mask in present.items() if name in features}
    return classifier(features, masks, **more)  # type: ignore[no-any-return]
