"""What the laws of classifiers are tried on: small studies of one, two and three modalities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sm3kit.classifiers.base import JOINT, Classifier, ClassifierInputs, LabelledFeatures, Streams
from sm3kit.nn.map_shape import MapShape
from sm3kit.testing import tensors
from sm3kit.testing.tensors import ROWS

LABELS = {"two": ("x", "y"), "three": ("x", "y", "z"), "four": ("w", "x", "y", "z")}
MODALITIES = (["a"], ["a", "b"], ["a", "b", "c"])
SIDE = 64  # Pixels of a view.
MAPS = (MapShape(8, 4), MapShape(16, 8), MapShape(32, 16), MapShape(64, 32))
WIDTH = MAPS[-1].channels


class LabelsApart(nn.Module):
    """Embeddings of joint features, as stage 2 gives them.

    Args:
        width: J.
        labels: K.
    """

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.labels, self.width = labels, 12
        self.project = nn.Linear(width, labels * self.width)

    def forward(self, joint: Tensor) -> Tensor:
        """Embeddings (B, K, P) of joint features (B, J)."""
        return self.project(joint).unflatten(1, (self.labels, self.width))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class LabelledBatch:
    """Studies and their classes.

    Attributes:
        features: {modality: (B, D)}.
        present: {modality: (B,) bool}.
        more: {"maps": {modality: [(B, C, H, W)] * L}, "views": {modality: (B, C, H, W)}}, if
            they are wanted.
        labels: (B, K) int64.
    """

    features: dict[str, Tensor]
    present: dict[str, Tensor]
    more: dict[str, Any]
    labels: Tensor

    def ask(self, classifier: nn.Module) -> Streams:
        """The logits of these studies."""
        streams: Streams = classifier(self.features, self.present, **self.more)
        return streams

    def loss(self, classifier: Classifier) -> Tensor:
        """The cross-entropy of all streams and labels, and the extra terms."""
        terms = [
            classifier.stream_weights.get(name, 1.0) * F.cross_entropy(rows, self.labels[:, label])
            for name, logits in self.ask(classifier).items()
            for label, rows in enumerate(logits)
        ]
        return torch.stack([*terms, *classifier.extra_terms().values()]).sum()

    def of_rows(self, rows: Tensor) -> LabelledBatch:
        """Some of the studies, or all in another order."""
        table = (self.features, self.present, self.more, self.labels)
        return LabelledBatch(*tensors.each_tensor(table, lambda tensor: tensor[rows]))

    def of_images(self) -> dict[str, list[Tensor]]:
        """All that comes from the images of a modality."""
        tables = (self.features, *self.more.values())
        return {
            name: [t for table in tables for t in _as_list(table[name])] for name in self.features
        }

    def copied(self, fill: float | None = None) -> LabelledBatch:
        """The same studies, to learn from anew.

        Args:
            fill: what stands where images are absent; None leaves it.
        """

        def rows(present: Tensor, tensor: Tensor) -> Tensor:
            absent = ~present.view(-1, *[1] * (tensor.ndim - 1))
            kept = tensor.detach().clone()
            return (kept if fill is None else kept.masked_fill(absent, fill)).requires_grad_()

        def table(images: Mapping[str, Any]) -> dict[str, Any]:
            return {
                name: tensors.each_tensor(images[name], partial(rows, self.present[name]))
                for name in images
            }

        more = {name: table(images) for name, images in self.more.items()}
        return replace(self, features=table(self.features), more=more)


@dataclass(frozen=True)
class ClassifierTrial:
    """A classifier class and the options to build it with.

    Attributes:
        wide: modalities whose backbone has twice as many channels everywhere.
        vectors: modalities such as metadata, whose backbone gives no maps of its (C, 1, 1).
    """

    plugin: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    wide: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()

    @property
    def modalities(self) -> Sequence[list[str]]:
        """Names of one, two and three modalities, or the one name of the joint feature."""
        return ([JOINT],) if self.joint else MODALITIES

    @property
    def joint(self) -> bool:
        """Whether it learns from the joint feature, which is always present."""
        return bool(self.plugin.on == "joint")

    @property
    def wants_images(self) -> bool:
        """Whether features are not enough for it."""
        return bool(self.plugin.wants_maps or self.plugin.wants_views)

    @property
    def fitted(self) -> bool:
        """Whether it is fitted at once."""
        return bool(self.plugin.learns == "fit")

    def inputs(self, names: Sequence[str], **other: Any) -> ClassifierInputs:
        """What a classifier of some modalities is built for."""
        known: dict[str, Any] = {
            "widths": {name: self.times(name) * WIDTH for name in names},
            "labels": LABELS,
            "maps": {name: self.maps(name) for name in names} if self.plugin.wants_maps else {},
            "shapes": {n: self.shape(n) for n in names} if self.plugin.wants_views else {},
            "known": classes(24, LABELS),
        }
        return ClassifierInputs(**(known | other))

    def times(self, name: str) -> int:
        """How many times as wide the backbone of a modality is."""
        return 2 if name in self.wide else 1

    def maps(self, name: str) -> Sequence[MapShape]:
        """The feature maps of a modality; features have the width of the last."""
        shapes = () if name in self.vectors else MAPS
        return [MapShape(self.times(name) * shape.channels, shape.stride) for shape in shapes]

    def shape(self, name: str) -> tuple[int, int, int]:
        """Of the views of a modality."""
        return (5, 1, 1) if name in self.vectors else (3, SIDE, SIDE)

    def build(self, names: Sequence[str], **other: Any) -> Classifier:
        """The classifier, under seed 0.

        Args:
            other: parts of the `ClassifierInputs` that are not as always.
        """
        torch.manual_seed(0)
        classifier: Classifier = self.plugin(self.inputs(names, **other), **self.options)
        return classifier

    def taught(self, names: Sequence[str], **other: Any) -> Classifier:
        """The classifier, fitted if it is to be."""
        classifier = self.build(names, **other)
        if self.fitted:
            classifier.fit(*self.to_fit(names))
        return classifier

    def to_fit(self, names: Sequence[str]) -> tuple[LabelledFeatures, LabelledFeatures]:
        """Studies to fit to and to choose by."""
        batches = (self.batch(names, 48, seed=seed) for seed in (5, 6))
        first, second = (LabelledFeatures(b.features, b.present, b.labels) for b in batches)
        return first, second

    def batch(self, names: Sequence[str], rows: int = ROWS, seed: int = 1) -> LabelledBatch:
        """Random studies with all images, whose features ask for a gradient."""
        torch.manual_seed(seed)
        features = {name: torch.randn(rows, self.times(name) * WIDTH) for name in names}
        more: dict[str, Any] = {}
        if self.plugin.wants_maps:
            more["maps"] = {name: [_map(rows, m) for m in self.maps(name)] for name in names}
        if self.plugin.wants_views:
            more["views"] = {name: torch.randn(rows, *self.shape(name)) for name in names}
        present = {name: torch.ones(rows, dtype=torch.bool) for name in names}
        tensors.each_tensor((features, more), lambda t: t.requires_grad_(not self.fitted))
        return LabelledBatch(features, present, more, classes(rows, LABELS))

    def each(self) -> Iterator[tuple[list[str], Classifier, LabelledBatch]]:
        """For one, two and three modalities: names, classifier, studies with all images."""
        for names in self.modalities:
            yield names, self.taught(names), self.batch(names)


def classes(rows: int, labels: Mapping[str, Sequence[str]]) -> Tensor:
    """Classes (rows, K), all of every label about equally often, in an order that is drawn."""
    generator = torch.Generator().manual_seed(0)
    columns = [
        (torch.arange(rows) % len(names))[torch.randperm(rows, generator=generator)]
        for names in labels.values()
    ]
    return torch.stack(columns, dim=1)


def _map(rows: int, shape: MapShape) -> Tensor:
    side = SIDE // shape.stride
    return torch.randn(rows, shape.channels, side, side).relu()


def _as_list(rows: Any) -> list[Tensor]:
    return list(rows) if isinstance(rows, list | tuple) else [rows]
