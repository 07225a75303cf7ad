"""What a protocol found."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from sm3kit.metrics.predictions import Predictions


@dataclass(frozen=True)
class Answer:
    """What a protocol found.

    Attributes:
        predictions: of the cases of the measured split.
        chosen: what was selected: {"epoch": 12} or {"k": 20}.
        score: mean AUC of the split that it was selected by, or None.
        least: studies that a class wanted in that split to count in the score, or None.
        trainable: number of weights that labels reached.
        trained_on: number of studies whose labels were used in training.
        scope: what learned.
        network: the network that made the predictions, or None.
    """

    predictions: Predictions
    chosen: dict[str, int]
    score: float | None
    least: int | None
    trainable: int
    trained_on: int
    scope: str
    network: nn.Module | None = None
