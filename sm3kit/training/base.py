"""What everything that trains shares: epochs, seeds, optimisers, and the terms of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sm3kit.core.errors import CheckpointError, TrainingError
from sm3kit.core.stage_settings import STAGE_TITLES
from sm3kit.core.variant import Variant
from sm3kit.nn.finite import first_two, not_finite
from sm3kit.training.seeds import seed_of_epoch

MOMENTUM = 0.9  # Of "sgd".
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
        first_epoch: the epoch that a resumed training begins with.
        optimiser_state, scaler_state: of the epochs before, when it goes on.
        last_terms: the loss terms of the last step, detached.
        extra: plain values and tensors that its checkpoint keeps beside the weights.
    """

    def __init__(
        self, stage: str, variant: Variant, pace: Pace, seed: int, steps_per_epoch: int
    ) -> None:
        super().__init__()
        self.stage, self.variant, self.seed = stage, variant, seed
        self.epochs, self.rate, self.steps_per_epoch = pace.epochs, pace.lr, steps_per_epoch
        self.first_rate = pace.lr
        self.first_epoch = 0
        self.optimiser_state: dict[str, Any] | None = None
        self.scaler_state: dict[str, Any] | None = None
        self.last_terms: dict[str, Tensor] = {}
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

    def progress(self, batch_idx: int) -> float:
        """How far the training is before a step, from 0 at the first to 1 at the last."""
        total = max(self.epochs * self.steps_per_epoch - 1, 1)
        return min((self.epoch * self.steps_per_epoch + batch_idx) / total, 1.0)

    def set_rate(self, schedule: str, progress: float) -> None:
        """The learning rate follows from the progress alone, so a resumed run needs no scheduler.

        Args:
            schedule: "constant" or "cosine", which brings the rate to zero at the end.
            progress: see `progress`.
        """
        if schedule == "constant":
            return
        share = (1 + math.cos(math.pi * progress)) / 2
        self.rate = self.first_rate * share
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["initial_lr"] * share

    def keep_terms(self, terms: Mapping[str, Tensor], where: str = "") -> None:
        """Keeps the terms of a step for whoever looks at it.

        Args:
            terms: {name: scalar}.
            where: what else tells where they are from.

        Raises:
            TrainingError: a term is not finite; it is named.
        """
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        if terms and not bool(torch.stack(list(self.last_terms.values())).isfinite().all()):
            raise self.diverged(f"The loss term {first_two(not_finite(terms))}{where} is")

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


def optimiser(
    name: str,
    learning: Mapping[float, Sequence[nn.Parameter]],
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    state: Mapping[str, Any] | None = None,
    *,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """An optimiser over weights by their learning rate.

    Args:
        name: "adamw" (Loshchilov and Hutter 2019, arXiv:1711.05101), "adam" (Kingma and Ba 2015,
            arXiv:1412.6980), or "sgd", with a momentum of 0.9; the weight decay of the last two is
            part of the gradient.
        learning: {learning rate: weights}. Each group keeps its rate as `initial_lr`, too, which
            schedules multiply.
        betas, eps, weight_decay: of all groups; "sgd" has only the last.
        state: what the optimiser remembers of the epochs before, when a training goes on.
        fused: one kernel for all steps of an update.
    """
    groups = [
        {"params": list(weights), "lr": rate, "initial_lr": rate}
        for rate, weights in learning.items()
        if weights
    ]
    made: torch.optim.Optimizer
    if name == "sgd":
        made = torch.optim.SGD(groups, momentum=MOMENTUM, weight_decay=weight_decay, fused=fused)
    else:
        adam = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[name]
        made = adam(groups, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)
    if state is not None:
        try:
            made.load_state_dict(dict(state))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(
                "The checkpoint to resume from does not fit this optimiser. Delete it to start "
                "over."
            ) from error
        for group, own in zip(made.param_groups, groups, strict=True):
            group["lr"] = group["initial_lr"] = own["lr"]
    return made
