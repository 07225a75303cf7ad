"""What a training looks like to the callbacks that accompany it."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from sm3kit.core.variant import Variant

Row = dict[str, Any]


class Stage(Protocol):
    """A LightningModule that trains one stage.

    Attributes:
        stage: its name, "mmssl", "mlssl", or of an evaluation.
        variant: settings and seed.
        epochs: how many there are in all.
        first_epoch: the epoch that a resumed training begins with.
        steps_per_epoch: optimiser steps in an epoch.
        rate: the learning rate of the last step.
        last_terms: the loss terms of the last step, detached.
        extra: plain values that its checkpoint keeps beside the weights.
    """

    stage: str
    variant: Variant
    first_epoch: int
    steps_per_epoch: int
    rate: float
    last_terms: dict[str, Tensor]
    extra: dict[str, Any]

    @property
    def epochs(self) -> int:
        """How many epochs there are in all."""

    @property
    def epoch(self) -> int:
        """The epoch since the very beginning, from 0."""

    @property
    def remedy(self) -> str:
        """What to lower where it diverges, as a sentence."""

    def total(self, terms: dict[str, float]) -> float:
        """The loss that the mean terms of an epoch add up to."""
