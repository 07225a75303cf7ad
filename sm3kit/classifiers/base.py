"""The contract of classifiers."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from sm3kit.core.errors import VariantError
from sm3kit.nn.map_shape import MapShape

JOINT = "joint"  # The one name in `widths` of a classifier on the joint feature.
Streams = dict[str, list[Tensor]]


@dataclass(frozen=True)
class ClassifierInputs:
    """What a classifier is built for.

    Attributes:
        widths: {modality: D}, in the order of the fusion; {"joint": J} for one on the joint
            feature.
        labels: {label: names of its C_k classes}, K labels in order.
        maps: {modality: its L feature maps, the finest first}; empty unless `wants_maps`.
        shapes: {modality: (C, H, W) of its views}; empty unless `wants_views`.
        known: (N, K) int64, the labels of the N training studies, -1 where unknown; N is 0 where
            trained weights are put in afterwards.
        embedding: gives the label embeddings (B, K, P) of joint features (B, J), from stage 2 of
            the run; None without one, or unless `wants_embedding`.
        prototypes: per label the weights (C_k, P) that a head on its embedding may start from, or
            None.
    """

    widths: Mapping[str, int]
    labels: Mapping[str, Sequence[str]]
    maps: Mapping[str, Sequence[MapShape]] = field(default_factory=dict)
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    known: Tensor = field(default_factory=lambda: torch.empty(0, 0, dtype=torch.long))
    embedding: nn.Module | None = None
    prototypes: Sequence[Tensor | None] = ()

    @property
    def classes(self) -> list[int]:
        """C_k of each label."""
        return [len(names) for names in self.labels.values()]


@dataclass(frozen=True)
class LabelledFeatures:
    """N studies to fit a classifier to, or to choose by.

    Attributes:
        features: {modality: (N, D)}, zeros where absent; or {"joint": (N, J)}.
        present: {modality: (N,) bool}.
        labels: (N, K) int64, -1 where unknown.
    """

    features: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    labels: Tensor


class Classifier(nn.Module):
    """Learns labels from the features of all modalities.

    Built as `Classifier(inputs, **options)`. Everything holds for any number of modalities, with
    missing ones: rows of absent modalities hold anything finite, and must not count. It is called
    outside autocast with float32 tensors.

    Attributes:
        on: "modalities" gets {modality: (B, D)}; "joint" gets the joint feature of the fusion as
            {"joint": (B, J)}, always present.
        wants_maps: asks for the feature maps of the backbones, as the keyword `maps`.
        wants_embedding: stands on the label embeddings of stage 2, where a run has them for these
            labels.
        wants_views: asks for the normalised views themselves, as the keyword `views`.
        learns: "gradient" is trained; "fit" is fitted to frozen features at once, by `fit`.
        stream_weights: {stream: weight of its loss}; 1 for a stream that is not named.
        decision_weights: {stream: its weight in `decide`}, 0 for a stream that is not named; empty
            weighs all alike. A search on the validation split may replace them.
    """

    on: ClassVar[Literal["modalities", "joint"]] = "modalities"
    wants_embedding: ClassVar[bool] = False
    wants_maps: ClassVar[bool] = False
    wants_views: ClassVar[bool] = False
    learns: ClassVar[Literal["gradient", "fit"]] = "gradient"

    def __init__(self, inputs: ClassifierInputs) -> None:
        super().__init__()
        self.widths, self.classes = dict(inputs.widths), inputs.classes
        self.stream_weights: Mapping[str, float] = {}
        self.decision_weights: Mapping[str, float] = {}

    def forward(
        self, features: Mapping[str, Tensor], present: Mapping[str, Tensor], **more: Any
    ) -> Streams:
        """Logits {stream: [(B, C_k)] * K}.

        Args:
            features: {modality: (B, D)}; see `on`.
            present: {modality: (B,) bool}.
            more: `maps` {modality: [(B, C, H, W)] * L}, only if `wants_maps`; `views`
                {modality: (B, C, H, W)}, normalised, only if `wants_views`; zeros where absent.
        """
        raise NotImplementedError

    def extra_terms(self) -> dict[str, Tensor]:
        """Weighted loss terms {name: scalar} of the last `forward` beside those of the labels."""
        return {}

    def decide(self, streams: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
        """Class probabilities [(B, C_k)] * K of logits: the softmax of their weighted mean."""
        return [logits.softmax(dim=-1) for logits in self.weigh(streams)]

    def weigh(self, streams: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
        """The mean [(B, C_k)] * K over the streams, weighted by `decision_weights`."""
        weights = self.decision_weights or dict.fromkeys(streams, 1.0)
        counted = {name: weights[name] for name in streams if weights.get(name)}
        if len(counted) == 1:  # Exactly the logits of this stream.
            return list(streams[next(iter(counted))])
        total = sum(counted.values())
        return [
            sum(
                (weight / total * streams[name][label] for name, weight in counted.items()),
                start=torch.zeros((), device=rows.device, dtype=rows.dtype),
            )
            for label, rows in enumerate(next(iter(streams.values())))
        ]

    def fit(self, train: LabelledFeatures, choosing: LabelledFeatures | None) -> dict[str, float]:
        """Fits all weights, if it `learns` by "fit".

        Args:
            train: the training studies. Of a label all that are known may have one class, and none
                may be known, as in a subset of an ensemble.
            choosing: those of the split that hyper-parameters are chosen by; None takes defaults.

        Returns:
            What was chosen, such as {"C": 0.01}.
        """
        raise NotImplementedError


def stream_name(word: str, taken: Container[str]) -> str:
    """A name for a stream of several modalities: the word, or `word_` where it is taken.

    Args:
        word: such as "fusion".
        taken: the modalities, which may have any name, and other streams.
    """
    while word in taken:
        word += "_"
    return word


def modalities_with_maps(inputs: ClassifierInputs, word: str, least: int = 1) -> list[str]:
    """The modalities whose backbone gives feature maps, in the order of the fusion.

    Args:
        inputs: what a classifier is built for.
        word: its name on the command line.
        least: how many maps it needs of a backbone.

    Raises:
        VariantError: no backbone gives as many.
    """
    names = [name for name in inputs.widths if len(inputs.maps.get(name, ())) >= least]
    if names:
        return names
    enough = "feature maps" if least == 1 else f"feature maps of {least} stages"
    backbones = "backbone" if len(inputs.widths) == 1 else "backbones"
    raise VariantError(
        f"The classifier {word} needs {enough}, which the {backbones} of "
        f"{', '.join(inputs.widths)} cannot give. Use another --classifier, or a run with a "
        "--backbone that has them, such as timm/resnet50."
    )
