"""A training that has diverged ends before anything of it is looked at or kept."""

from __future__ import annotations

from typing import cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sm3kit.core.errors import TrainingError
from sm3kit.nn.finite import listed, not_finite
from sm3kit.training.stage import Stage

TITLES = {
    "mmssl": "stage 1",
    "mlssl": "stage 2",
    "probe": "the probe",
    "finetune": "the fine-tuning",
}


class StopDiverged(pl.Callback):
    """Ends a training after an epoch that left weights, buffers or the optimiser not finite.

    The loss of a step tells of the update before it, and nothing tells of the last one. This
    callback comes before those that look at an epoch and keep it, so that `last.ckpt` is always
    one to go on from.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks at every tensor once, alike in each process.

        Raises:
            TrainingError: some are not finite; they are named.
        """
        state = pl_module.state_dict() | _remembered(trainer.optimizers[0], pl_module)
        bad = not_finite(state)
        if bad:
            what = f"{len(bad)} of {len(state)} tensors ({listed(bad)}) are"
            raise diverged(cast(Stage, pl_module), what, "after the last step of")


def diverged(module: Stage, what: str, moment: str = "in") -> TrainingError:
    """The error of a stage in which something is not finite.

    Args:
        what: subject and verb, such as "The loss term simclr/derm is".
        moment: the words before the epoch under way.
    """
    return TrainingError(
        f"{what} not finite {moment} epoch {module.epoch + 1} of {TITLES[module.stage]}. "
        f"{module.remedy}"
    )


def _remembered(optimiser: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """What an optimiser remembers of the gradients of each weight, by its name."""
    names: dict[Tensor, str] = {weight: name for name, weight in module.named_parameters()}
    return {
        f"{kind} of {names[weight]}": values
        for weight, kept in optimiser.state.items()
        for kind, values in kept.items()
        if isinstance(values, Tensor)
    }
