"""Learning from labels: one LightningModule for the probe and for fine-tuning."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sm3kit.core.errors import CheckpointError
from sm3kit.core.variant import Variant
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.nn.host.values import to_device
from sm3kit.nn.precision import full_precision
from sm3kit.nn.processes import from_first
from sm3kit.training import checkpoints
from sm3kit.training.base import EpochRow, Learner, Pace
from sm3kit.training.fitting import Training, fit
from sm3kit.training.label_cost import LabelCost, LabelledNetwork
from sm3kit.training.optimising.optimisers import WeightGroup, optimiser


class LabelSettings(Pace, Protocol):
    """What learning from labels asks of the settings of an evaluation, beside its pace."""

    @property
    def protocol(self) -> str:
        """Either "probe" or "finetune"."""

    @property
    def batch_size(self) -> int:
        """Studies per step."""

    @property
    def optimiser(self) -> str:
        """Its name, as `optimiser` knows it."""

    @property
    def schedule(self) -> str:
        """Either "constant" or "cosine"."""

    @property
    def warmup_epochs(self) -> int:
        """Epochs over which the learning rate grows from zero."""

    @property
    def weight_decay(self) -> float:
        """Of the optimiser."""

    @property
    def eps(self) -> float:
        """Of the optimiser."""

    @property
    def seed(self) -> int:
        """Of the epochs."""


class Supervised(Learner):
    """Learns the labels, and remembers its best epoch.

    Source: Wang et al. 2025, section 4.2; released code: AdamW, the mean over the labels of the
    cross-entropy. Of several streams of logits, the weighted sum.

    Args:
        network: batch -> logits {stream: [(B, C)] * K}; a `LabelledNetwork`.
        cost: the loss of the labels.
        learning: the weights that learn; all others stay as they are.
        settings: of the evaluation.
        variant: of the run.
        steps_per_epoch: optimiser steps in an epoch.
        score: gives the mean AUC of the split that an epoch is chosen by; None takes the last.
    """

    def __init__(
        self,
        network: nn.Module,
        cost: LabelCost,
        learning: Sequence[nn.Parameter],
        settings: LabelSettings,
        variant: Variant,
        steps_per_epoch: int,
        score: Callable[[nn.Module], float] | None,
    ) -> None:
        super().__init__(settings.protocol, variant, settings, settings.seed, steps_per_epoch)
        self.network, self.learning, self.settings = network, list(learning), settings
        self.cost, self.score = cost, score
        self.counts: dict[str, list[Tensor]] = {}  # Of each stream that was met.
        # What learns, as it was after the best epoch; kept in the checkpoint.
        self.extra = {
            "best": -math.inf,
            "best_epoch": 0,
            "best_state": {},
            "trainable": 0,
        }

    @property
    def remedy(self) -> str:
        """What to lower where it diverges, as a sentence."""
        return f"Lower --lr, now {self.settings.lr:g}."

    @property
    def memory_remedy(self) -> str:
        """What to lower where the memory of a GPU is too small, as a sentence."""
        return f"Lower --batch-size of the evaluation, now {self.settings.batch_size}."

    def total(self, terms: dict[str, float]) -> float:
        """The mean over the labels, and all other terms."""
        named = {f"{self.cost.name}/{label}" for label in self.cost.classes}
        of_labels = [value for name, value in terms.items() if name in named]
        others = [value for name, value in terms.items() if name not in named]
        return sum(of_labels) / max(len(of_labels), 1) + sum(others)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean over the labels of the loss of all streams, and what else costs.

        Raises:
            TrainingError: a term is not finite.
        """
        settings = self.settings
        self.set_rate(settings.schedule, self.step(batch_idx), settings.warmup_epochs)
        network: Any = self.network
        terms = self._label_terms(network, network(batch), batch, batch_idx)
        extra = network.extra_terms()
        self.keep_terms({**terms, **extra})
        loss = torch.stack(list(terms.values())).mean()
        return torch.stack([loss, *extra.values()]).sum() if extra else loss

    def _label_terms(
        self,
        network: LabelledNetwork,
        streams: Mapping[str, Sequence[Tensor]],
        batch: Any,
        batch_idx: int,
    ) -> dict[str, Tensor]:
        """{term: loss of a label}, the weighted sum over the streams, of the whole batch."""
        terms: dict[str, Tensor] = {}
        for stream, logits in streams.items():
            labels, weight = network.labels_of(stream, batch), network.weight_of(stream)
            labels, whole = self.whole(labels, batch_idx), self._whole_logits(logits, batch_idx)
            if stream not in self.counts:
                self.counts[stream] = self.cost.counts(network, stream)
            for number, label in enumerate(self.cost.classes):
                rows = whole[number]
                counts = to_device(self.counts[stream][number], rows.device)
                term = weight * self.cost.loss(rows, labels[:, number], counts)
                name = f"{self.cost.name}/{label}"
                terms[name] = terms[name] + term if name in terms else term
        return terms

    def _whole_logits(self, logits: Sequence[Tensor], batch_idx: int) -> Sequence[Tensor]:
        """Logits [(B, C)] * K of the whole batch, in float32; see `whole`."""
        rows = torch.cat([full_precision(own) for own in logits], dim=1)
        return torch.split(self.whole(rows, batch_idx), [own.shape[1] for own in logits], dim=1)

    def on_after_backward(self) -> None:
        """Counts, once, the weights that labels reach."""
        if not self.extra["trainable"]:
            self.extra["trainable"] = sum(p.numel() for p in self.learning if p.grad is not None)

    def look(self) -> EpochRow:
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
        """The optimiser over what learns."""
        s = self.settings
        return optimiser(
            s.optimiser,
            [WeightGroup(s.lr, self.learning)],
            (0.9, 0.999),
            s.eps,
            s.weight_decay,
            self.optimiser_state,
            fused=True,
        )


def learn(
    module: Supervised, batches: EpochBatches, training: Training, loader: Callable[[], Any]
) -> int:
    """Trains what is left of the epochs, and goes back to the chosen one.

    Args:
        module: what learns.
        batches: the order of its studies.
        training: of the evaluation, with a hash of all that it depends on.
        loader: gives the batches.

    Returns:
        The number of the chosen epoch, from 1.

    Raises:
        Interrupted, TrainingError: as `fit` does.
    """
    last = training.run.last
    content = _read_same(training)
    if training.world.size > 1:
        content = from_first(content)
    if content is not None:
        checkpoints.resume(module, content, last)
        batches.first_epoch = batches.epoch = module.first_epoch
        training.reporter.say(f"resume   after epoch {module.first_epoch} of {module.epochs}")
    fit(module, training, lambda rank, world: loader())
    return module.select()


def _read_same(training: Training) -> dict[str, Any] | None:
    """The last checkpoint, if there is one of the same evaluation; it only saves time."""
    try:
        content = checkpoints.read_checkpoint(training.run.last)
    except CheckpointError:
        return None
    return content if content["data_hash"] == training.data_hash else None
