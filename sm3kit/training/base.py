"""What everything that trains shares: epochs, seeds, rates, and the terms of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor

from sm3kit.core.errors import TrainingError
from sm3kit.core.stage_settings import STAGE_TITLES
from sm3kit.core.variant import Variant
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.nn.finite import FiniteWatch, first_two
from sm3kit.nn.processes import join_shares
from sm3kit.training.optimising.rates import rate_share
from sm3kit.training.seeds import seed_of_epoch

EpochRow = dict[str, Any]  # An epoch in metrics.csv, by column.
TITLES = {**STAGE_TITLES, "probe": "the probe", "finetune": "the fine-tuning"}


class Pace(Protocol):
    """The settings of a training that all kinds of training have."""

    @property
    def epochs(self) -> int:
        """Passes over the studies, in all."""

    @property
    def lr(self) -> float:
        """The learning rate to begin with."""


class Learner(pl.LightningModule):
    """A LightningModule whose epochs count from the very beginning, however often it was stopped.

    Args:
        stage: its name, a key of `TITLES`.
        variant: of the run.
        pace: how many epochs there are in all, and the learning rate.
        seed: of its epochs.
        steps_per_epoch: optimiser steps in an epoch.

    Attributes:
        rate: the learning rate of the last step.
        clip: the norm to which gradients are shortened; 0 leaves them as they are.
        first_epoch: the epoch that a resumed training begins with.
        optimiser_state, scaler_state: of the epochs before, when it goes on.
        last_terms: the loss terms of the last step, detached.
        extra: plain values and tensors that its checkpoint keeps beside the weights.
        stops_early: whether it may end before its last epoch.
        order: of its batches, where several processes divide each of them among themselves.
        alike: whether all steps compute alike, and buffers come out the same in all processes.
    """

    def __init__(
        self, stage: str, variant: Variant, pace: Pace, seed: int, steps_per_epoch: int
    ) -> None:
        super().__init__()
        self.stage, self.variant, self.seed = stage, variant, seed
        self.epochs, self.rate, self.steps_per_epoch = pace.epochs, pace.lr, steps_per_epoch
        self.first_rate = pace.lr
        self.clip, self.stops_early, self.alike = 0.0, False, False
        self.order: EpochBatches | None = None
        self.first_epoch = 0
        self.optimiser_state: dict[str, Any] | None = None
        self.scaler_state: dict[str, Any] | None = None
        self.last_terms: dict[str, Tensor] = {}
        self.watch = FiniteWatch()
        self.extra: dict[str, Any] = {}

    @property
    def epoch(self) -> int:
        """The epoch since the very beginning, from 0."""
        return self.first_epoch + self.current_epoch

    @property
    def remedy(self) -> str:
        """What to lower where it diverges, as a sentence."""
        raise NotImplementedError

    @property
    def memory_remedy(self) -> str:
        """What to lower where the memory of a GPU is too small, as a sentence."""
        raise NotImplementedError

    @property
    def ended(self) -> bool:
        """Whether no epoch is left."""
        return self.first_epoch >= self.epochs

    def total(self, terms: dict[str, float]) -> float:
        """The loss that the mean terms of an epoch add up to."""
        return sum(terms.values())

    def look_before(self) -> EpochRow:
        """Columns of metrics.csv before the first epoch."""
        return {}

    def look(self) -> EpochRow:
        """More columns of metrics.csv, after an epoch."""
        return {}

    def on_train_epoch_start(self) -> None:
        """Seeds this epoch by its number."""
        torch.manual_seed(seed_of_epoch(self.stage, self.seed, self.epoch, self.global_rank))

    def step(self, batch_idx: int) -> int:
        """The number of a step since the very beginning, from 0."""
        return self.epoch * self.steps_per_epoch + batch_idx

    def progress(self, batch_idx: int) -> float:
        """How far the training is before a step, from 0 at the first to 1 at the last."""
        total = max(self.epochs * self.steps_per_epoch - 1, 1)
        return min(self.step(batch_idx) / total, 1.0)

    def set_rate(self, schedule: str, step: int, warmup_epochs: int = 0) -> None:
        """Sets the learning rates of a step; see `rate_share`.

        Args:
            schedule: "constant" or "cosine".
            step: see `step`.
            warmup_epochs: epochs over which the rates grow from zero.
        """
        if schedule == "constant" and not warmup_epochs:
            return
        warmup, steps = (epochs * self.steps_per_epoch for epochs in (warmup_epochs, self.epochs))
        share = rate_share(schedule, step, steps, warmup)
        self.rate = self.first_rate * share
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["initial_lr"] * share

    def whole(self, rows: Tensor, batch_idx: int) -> Tensor:
        """The rows (B, ...) of a whole batch, of which each process computes its share.

        A loss of them is the same in every process, and so is its gradient after DDP has averaged it.
        """
        if self.order is None or self.order.world == 1:
            return rows
        return join_shares(rows, self.order.sizes[batch_idx])

    def keep_terms(self, terms: Mapping[str, Tensor], where: str = "") -> None:
        """Keeps the terms of a step for whoever looks at it.

        Args:
            terms: {name: scalar}.
            where: what else tells where they are from.

        Raises:
            TrainingError: see `check_terms`.
        """
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        if terms:
            self.watch.add(self.last_terms, where)
        self.check_terms()

    def check_terms(self, *, wait: bool = False) -> None:
        """Looks at the terms of the steps up to now.

        Args:
            wait: for those that a GPU has not computed yet; without it their turn comes in a step
                soon after.

        Raises:
            TrainingError: a term is not finite; it is named.
        """
        bad, where = self.watch.look(wait=wait)
        if bad:
            raise self.diverged(f"The loss term {first_two(bad)}{where} is")

    def diverged(self, what: str, moment: str = "in") -> TrainingError:
        """The error where something is not finite.

        Args:
            what: subject and verb, such as "The loss term simclr/derm is".
            moment: the words before the epoch under way.
        """
        return TrainingError(
            f"{what} not finite {moment} epoch {self.epoch + 1} of {TITLES[self.stage]}. "
            f"{self.remedy}"
        )
