"""FusionM4Net's first stage: every modality, and their sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sm3kit.classifiers.base import Classifier, ClassifierInputs, Streams, stream_name
from sm3kit.core import ranges
from sm3kit.nn.label_heads import LabelHeads
from sm3kit.nn.named_modules import NamedModules
from sm3kit.nn.present_rows import BatchNorm, in_any, in_place_of_absent, on_present, only_present


class F4M(Classifier):
    """A perceptron with heads for each modality, and for the sum of all features.

    The decision is the softmax of the mean of the logits; search the weights of the streams on
    the validation split for that of the publication.

    Source: Tang et al. 2022, doi:10.1016/j.media.2021.102307, the first stage; released code,
    FusionNet: 0.33 of the loss of each of its three streams, which is the mean over the labels.
    Differs from the publication: of N modalities each stream weighs 1 / (N + 1), in two digits.
    Features of another width than those of the first modality are projected linearly to it before
    the sum. Where a modality is missing, the others are scaled up to the sum of all, and its own
    stream repeats the logits of the sum, from which it learns nothing. Heads start from
    N(0, 0.01) with a bias of zero.

    Args:
        inputs: what it is built for.
        hidden: width of the first layer of each perceptron.
        embedding: width of the second, which the heads see.
        dropout: share of what is dropped behind each layer.
    """

    def __init__(
        self,
        inputs: ClassifierInputs,
        *,
        hidden: ranges.Width = 512,
        embedding: ranges.Width = 128,
        dropout: ranges.ShareBelowOne = 0.3,
    ) -> None:
        super().__init__(inputs)
        self.fusion = stream_name("fusion", self.widths)
        width = next(iter(self.widths.values()))
        widths = {**self.widths, self.fusion: width}
        self.stream_weights = dict.fromkeys(widths, round(1 / len(widths), 2))
        self.to_width = NamedModules(
            {name: nn.Linear(own, width) for name, own in self.widths.items() if own != width}
        )
        self.perceptrons = NamedModules(
            {name: _perceptron(own, hidden, embedding, dropout) for name, own in widths.items()}
        )
        self.heads = NamedModules({name: LabelHeads(embedding, self.classes) for name in widths})

    def forward(
        self, features: Mapping[str, Tensor], present: Mapping[str, Tensor], **more: Any
    ) -> Streams:
        """One stream per modality, and "fusion"."""
        some = in_any([present[name] for name in self.widths])
        fused = self._logits(self.fusion, self._sum(features, present), some)
        streams = {}
        for name in self.widths:
            own = self._logits(name, features[name], present[name])
            streams[name] = in_place_of_absent(own, present[name], fused)
        return {**streams, self.fusion: fused}

    def _sum(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """The sum (B, D) of the features of present modalities, scaled up to that of all."""
        parts = [
            only_present(
                self.to_width[name](features[name]) if name in self.to_width else features[name],
                present[name],
            )
            for name in self.widths
        ]
        count = torch.stack([present[name] for name in self.widths]).sum(dim=0)
        scale: Tensor = (len(parts) / count.clamp(min=1)).unsqueeze(1)
        return torch.stack(parts).sum(dim=0) * scale

    def _logits(self, stream: str, rows: Tensor, present: Tensor) -> list[Tensor]:
        embeddings = on_present(self.perceptrons[stream], present, rows)
        return self.heads[stream](embeddings)  # type: ignore[no-any-return]


def _perceptron(width: int, hidden: int, embedding: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in ((width, hidden), (hidden, embedding)):
        layers += [nn.Linear(before, after), BatchNorm(after), nn.SiLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)
