"""What learning from labels asks of a network, and what the labels cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from sm3kit.losses.base import LabelLoss


class LabelledNetwork(Protocol):
    """What learning from labels asks of a network."""

    def __call__(self, batch: Any) -> Mapping[str, Sequence[Tensor]]:
        """Logits {stream: [(B, C)] * K}."""

    def weight_of(self, stream: str) -> float:
        """The weight of the loss of a stream."""

    def labels_of(self, stream: str, batch: Any) -> Tensor:
        """The labels (B, K) that a stream learns from, -1 where it does not."""

    def extra_terms(self) -> dict[str, Tensor]:
        """Weighted loss terms of the last batch beside those of the labels."""


@dataclass(frozen=True)
class TrainingLabels:
    """The labels of all training studies, as one batch of them.

    Attributes:
        labels: (N, K), -1 where unknown.
        index: (N,), the position of each among them.
    """

    labels: Tensor
    index: Tensor


@dataclass(frozen=True)
class LabelCost:
    """What the labels of a training cost.

    Attributes:
        name: of the loss.
        loss: of one label.
        classes: {label: number of its classes}, K labels in order.
        known: (N, K) labels of the training studies, -1 where unknown.
    """

    name: str
    loss: LabelLoss
    classes: Mapping[str, int]
    known: Tensor

    def counts(self, network: LabelledNetwork, stream: str) -> list[Tensor]:
        """Studies of each class [(C,)] * K among those that a stream learns from."""
        studies = TrainingLabels(self.known, torch.arange(len(self.known)))
        columns = network.labels_of(stream, studies).T
        return [
            torch.bincount(column[column >= 0], minlength=count)
            for column, count in zip(columns, self.classes.values(), strict=True)
        ]
