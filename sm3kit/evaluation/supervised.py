"""Training with labels: one LightningModule for the probe and for fine-tuning."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sm3kit.core.variant import Variant
from sm3kit.evaluation.settings import Settings
from sm3kit.nn.finite import listed, not_finite
from sm3kit.nn.label_heads import label_loss
from sm3kit.training.divergence import diverged
from sm3kit.training.optimiser import adamw
from sm3kit.training.stage import Row


class Supervised(pl.LightningModule):
    """Learns the labels, and remembers its best epoch.

    Source: Wang et al. 2025, section 4.2; released code: AdamW, the mean over the labels of the
    cross-entropy.

    Args:
        network: batch -> logits [(B, C)] * K.
        learning: the weights that learn; all others stay as they are.
        settings: of the evaluation.
        variant: of the run.
        labels: names of the K labels.
        steps_per_epoch: optimiser steps in an epoch.
        score: gives the mean AUC of the split that an epoch is chosen by; None takes the last.
    """

    def __init__(
        self,
        network: nn.Module,
        learning: Sequence[nn.Parameter],
        settings: Settings,
        variant: Variant,
        labels: Sequence[str],
        steps_per_epoch: int,
        score: Callable[[nn.Module], float] | None,
    ) -> None:
        super().__init__()
        self.network, self.learning, self.settings = network, list(learning), settings
        self.variant, self.labels, self.score = variant, list(labels), score
        self.stage: str = settings.protocol
        self.steps_per_epoch, self.first_epoch = steps_per_epoch, 0
        self.rate = settings.lr
        self.optimiser_state: dict[str, Any] | None = None
        self.last_terms: dict[str, Tensor] = {}
        # What learns, as it was after the best epoch; kept in the checkpoint.
        self.extra: dict[str, Any] = {
            "best": -math.inf,
            "best_epoch": 0,
            "best_state": {},
            "trainable": 0,
        }

    @property
    def epochs(self) -> int:
        """How many epochs there are in all."""
        return self.settings.epochs

    @property
    def epoch(self) -> int:
        """The epoch since the very beginning, from 0."""
        return self.first_epoch + self.current_epoch

    @property
    def remedy(self) -> str:
        """What to lower where it diverges, as a sentence."""
        return f"Lower --lr, now {self.settings.lr:g}."

    def total(self, terms: dict[str, float]) -> float:
        """The loss that the mean terms of an epoch add up to."""
        return sum(terms.values()) / max(len(terms), 1)

    def on_train_epoch_start(self) -> None:
        """Seeds this epoch by its number."""
        torch.manual_seed(self.settings.seed * 1_000_003 + self.epoch + 750_000_001)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean cross-entropy of the known labels.

        Raises:
            TrainingError: a label's loss is not finite.
        """
        loss, terms = label_loss(self.network(batch), batch.labels)
        named = zip(self.labels, terms, strict=True)
        self.last_terms = {f"ce/{name}": term.detach() for name, term in named}
        if not bool(loss.isfinite()):
            raise diverged(self, f"The loss term {listed(not_finite(self.last_terms))} is")
        return loss

    def on_after_backward(self) -> None:
        """Counts, once, the weights that labels reach."""
        if not self.extra["trainable"]:
            self.extra["trainable"] = sum(p.numel() for p in self.learning if p.grad is not None)

    def look(self) -> Row:
        """The score of this epoch; the best one is remembered."""
        if self.score is None:
            return {}
        score = self.score(self.network)
        if score > self.extra["best"]:
            self.extra["best"], self.extra["best_epoch"] = score, self.epoch + 1
            self.extra["best_state"] = self._state()
        return {"auc": score}

    def select(self) -> int:
        """Goes back to the weights of the chosen epoch, and gives its number, from 1."""
        if self.score is None:
            return self.epochs
        self.network.load_state_dict(self.extra["best_state"], strict=False)
        return int(self.extra["best_epoch"])

    def _state(self) -> dict[str, Tensor]:
        """Weights that learn, and all buffers, on the CPU."""
        learning = {id(p) for p in self.learning}
        kept: dict[str, Tensor] = {
            n: p for n, p in self.network.named_parameters() if id(p) in learning
        }
        kept |= dict(self.network.named_buffers())
        return {name: copy.deepcopy(value.detach()).cpu() for name, value in kept.items()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over what learns."""
        s = self.settings
        return adamw(
            {s.lr: self.learning},
            (0.9, 0.999),
            s.eps,
            s.weight_decay,
            self.optimiser_state,
            fused=True,
        )
